"""Reconciliation: the source's orders, the ledger and LearningCart's orders, compared, and what is safe to settle.

LearningCart is asked first: what a run makes meanwhile is in the ledger when that is read, and is no finding. A failed
call is never a finding about anybody's access: what could not be asked is `unchecked`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from worker.advice import advice
from worker.formatting import counted
from worker.ledger import pauses
from worker.ledger.events import record_event
from worker.ledger.orders import order_rows
from worker.ledger.periodic import periodic_tasks
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.runs import claims, recoveries
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.session import Ledger
from worker.ledger.states import CLAIMABLE, Actor, RunState, Via
from worker.ledger.tables.runs import Run
from worker.ledger.views import reconcile as views
from worker.ledger.views.reconcile import Intent
from worker.reasons import Reason
from worker.sources.source import Source
from workflows.enrolment.steps import LEARNINGCART
from workflows.execution import late_results
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.planning.model import REVOCATION
from workflows.planning.offers_file import OffersFile
from workflows.planning.reviews import REVOCATION_REASONS
from workflows.reconcile.findings import Cause, Finding, Kind, unchecked
from workflows.reconcile.learningcart_diff import COMPED_STEP, LearningCartDiff, OrderReader
from workflows.reconcile.source_diff import SourceDiff

log = logging.getLogger(__name__)

NIGHTLY_WINDOW = timedelta(days=7)
"""How far back the nightly reconciliation goes: an effect that is deleted later is found by a longer `--since`."""
NIGHT_BEGINS_HOUR_UTC = 2
_RECORDED_AGAIN_AFTER = timedelta(days=7)
"""A finding that stays is written to the audit trail once in this time, not every night."""

_DOUBTED_ONCE_IN = timedelta(days=30)
"""An effect of another ledger that has paused LearningCart does not pause it again for at least so long."""


@dataclass
class Reconciled:
    """What a reconciliation came to."""

    since: datetime
    until: datetime
    findings: list[Finding]
    ready: list[str] = field(default_factory=list)
    """Runs that are due now because of what was settled."""

    @property
    def remaining(self) -> list[Finding]:
        """What is still to be done by a person."""
        return [finding for finding in self.findings if not finding.is_settled]


@dataclass(frozen=True)
class Reconciler:
    """Compares the three books. Finding changes nothing; `fix` and `keep` write."""

    ledger: Ledger
    sources: Mapping[str, Source]
    policies: Mapping[str, SourcePolicy]
    offers: OffersFile
    _: KW_ONLY
    delivery_reader: DeliveryReader
    learningcart: OrderReader | None
    """None where it is not configured."""
    clock: Callable[[], datetime]
    should_stop: Callable[[], bool] = lambda: False

    def find(self, since: datetime) -> Reconciled:
        """Compare everything since then. Raises nothing that a source or LearningCart does."""
        until = self.clock()
        return Reconciled(since, until, list(self._find(since, until)))

    def _find(self, since: datetime, until: datetime) -> Iterator[Finding]:
        provisioned: Collection[str] | None = None
        if self.learningcart is None:
            yield unchecked("LearningCart is not configured: what it holds could not be checked.")
        else:
            effects = LearningCartDiff(self.ledger, self.learningcart, since, should_stop=self.should_stop)
            effects.read(now=until)
            yield from effects.compare()
            if effects.problem is None and not effects.has_nameless:
                provisioned = effects.provisioned
        offers = self.offers.current()
        if problems := self.offers.problems():
            yield unchecked(
                f"Paid seats are held against the last valid offers: the file cannot be used. {problems[0]}",
                "cartbridge offers check",
            )
        for name, source in sorted(self.sources.items()):
            source_diff = SourceDiff(
                self.ledger,
                source,
                self.policies[name],
                offers,
                provisioned=provisioned,
                should_stop=self.should_stop,
            )
            yield from source_diff.compare(since=since, until=until)
        yield from self._open_questions()

    def _open_questions(self) -> Iterator[Finding]:
        """What the ledger itself knows to be wrong, and a person has not settled yet; however old."""
        with self.ledger.read() as connection:
            rows = views.open_questions(connection, REVOCATION, {*REVOCATION_REASONS, Reason.DUPLICATE_EFFECT})
        for row in rows:
            is_duplicate = row.reason == Reason.DUPLICATE_EFFECT
            found = advice(row.reason)
            effect = f" (LearningCart order {row.result_id})" if row.result_id else ""
            yield Finding(
                Kind.DUPLICATE if is_duplicate else Kind.STALE,
                Cause.DUPLICATE_OPEN if is_duplicate else Cause.REVOCATION_OPEN,
                f"{row.source}/{row.order_id}{effect}: {found.sentence if found else row.reason}",
                f'cartbridge runs resolve {row.id} --note "TEXT"',
                source=row.source,
                order_id=row.order_id,
                run_id=row.id,
                effect_ids=(row.result_id,) if row.result_id else (),
            )

    # Settling

    def fix(self, reconciled: Reconciled, *, actor: str, reason: str | None = None) -> None:
        """Settle what is safe to settle, each finding in a transaction of its own. Safe to repeat.

        Never makes an effect: an order is taken in by the normal rules, an effect that is there is adopted or asked
        about. The findings are replaced by what became of them.
        """
        for index, finding in enumerate(reconciled.findings):
            if finding.is_safe_to_fix and not finding.is_settled:
                fixed, ready = self._fix(finding, since=reconciled.since, actor=actor, reason=reason)
                reconciled.findings[index] = fixed
                reconciled.ready += ready

    def _fix(
        self, finding: Finding, *, since: datetime, actor: str, reason: str | None
    ) -> tuple[Finding, Sequence[str]]:
        if finding.cause is Cause.ORDER_NOT_INGESTED:
            return self._ingest(finding, actor=actor, reason=reason)
        return self._note_effect(finding, since=since, actor=actor, reason=reason), ()

    def _ingest(self, finding: Finding, *, actor: str, reason: str | None) -> tuple[Finding, Sequence[str]]:
        source, order_id = finding.source or "", finding.order_id or ""
        now = self.clock()
        with self.ledger.write() as connection:
            order_rows.insert_delivery(
                connection, source=source, order_id=order_id, via=Via.RECONCILE, actor=actor, now=now, sent=True
            )
            is_paused = source in pauses.paused_sources(connection)
        if is_paused:
            done = f"noted, and read after: cartbridge resume {source}, as {source} is paused"
            return finding.with_result(done, is_settled=False), ()
        looked = self.delivery_reader.look(source, order_id)
        if looked.error is not None:
            done = f"could not be read yet, and is tried again: {looked.error}"
            return finding.with_result(done, is_settled=False), ()
        if looked.recorded is None:
            return finding.with_result("is being read by another process", is_settled=True), ()
        plan = looked.recorded.plan
        done = f"ingested: {plan.state}{f' ({plan.reason})' if plan.reason else ''}, "
        done += f"{counted(len(looked.recorded.created), 'new run')}, {len(looked.ready)} of them due now"
        fixed = finding.with_result(done, is_settled=True)
        with self.ledger.write() as connection:
            self._fixed_event(connection, fixed, actor=actor, reason=reason)
        return fixed, looked.ready

    def _note_effect(self, finding: Finding, *, since: datetime, actor: str, reason: str | None) -> Finding:
        """Tell a run of an effect that is its own: adopted where it has none, a question where it has."""
        [effect_id] = finding.effect_ids
        with self.ledger.write() as connection:
            before = claims.lock_run(connection, finding.run_id or "", now=self.clock())
            intent = None if before is None else self._intent_of(connection, before, finding, sent_at=since)
            row = None
            if intent is not None:
                if intent.number is None:  # a holder that knows nothing of it would not ask before it sends
                    return finding.with_result("its run is being worked on: reconcile again", is_settled=False)
                row = late_results.note_found(
                    connection,
                    intent.run_id,
                    step=intent.step,
                    number=intent.number,
                    generation=intent.generation,
                    result_id=effect_id,
                    now=self.clock(),
                )
            done, is_settled = _became(row, effect_id)
            fixed = finding.with_result(done, is_settled=is_settled)
            self._fixed_event(connection, fixed, actor=actor, reason=reason)
        return fixed

    def _intent_of(self, connection: Connection, row: Run, finding: Finding, *, sent_at: datetime) -> Intent:
        """The call behind a locked run's effect; one that a restored ledger forgot is recorded now, if it can be."""
        reference, now = finding.reference or "", self.clock()
        known = views.intents(connection, {reference}, since=now).get(reference)
        if known is not None:
            return known
        number: int | None = 0
        if row.state == RunState.RUNNING:
            number = None
        elif row.state in CLAIMABLE and not effect_open_runs(connection, [row.id]):
            number = recoveries.doubt_run(connection, row, COMPED_STEP, sent_at=sent_at, now=now)
        return Intent(row.id, COMPED_STEP, number, row.generation, None)

    def _fixed_event(self, connection: Connection, finding: Finding, *, actor: str, reason: str | None) -> None:
        record_event(
            connection,
            at=self.clock(),
            kind="reconcile_fixed",
            actor=actor,
            run_id=finding.run_id,
            source=finding.source,
            order_id=finding.order_id,
            reason=reason,
            detail={"mark": finding.mark, "done": finding.done},
        )

    def pause_if_restored(self, reconciled: Reconciled) -> bool:
        """Pause LearningCart when it holds effects of ours that only another ledger can know of; whether it did.

        This ledger was restored from an older copy and not recovered, or another installation works there: either
        doubles orders. Each effect pauses once, so that a resume holds.
        """
        signs = [finding for finding in reconciled.findings if finding.is_sign_of_restore]
        effects = sorted({effect_id for finding in signs for effect_id in finding.effect_ids}, key=int)
        now = self.clock()
        with self.ledger.write() as connection:
            new_doubts = set(effects) - views.effects_doubted_since(connection, reconciled.since - _DOUBTED_ONCE_IN)
            if not new_doubts:
                return False
            why = (
                f"LearningCart order {effects[0]}{f' and {len(effects) - 1} more' if effects[1:] else ''} carries our "
                "reference, and this ledger does not know of sending it. It was restored from an older copy (then: "
                "`cartbridge recover --since TIME_OF_THE_COPY`, and resume), or another installation works on the same "
                f"orders. See: cartbridge reconcile --since {reconciled.since:%Y-%m-%dT%H:%M}Z"
            )
            if not pauses.pause(connection, LEARNINGCART, kind="restored", reason=why, actor=Actor.ENGINE, now=now):
                return False
            record_event(
                connection,
                at=now,
                kind=views.DOUBTED,
                actor=Actor.ENGINE,
                system=LEARNINGCART,
                reason=why,
                detail={"effects": effects},
            )
        log.error("learningcart is paused: %s", why)
        return True

    def keep(self, reconciled: Reconciled, *, actor: str, reason: str | None = None) -> None:
        """Write the findings to the audit trail, each at most once a week, and that somebody looked."""
        now = self.clock()
        with self.ledger.write() as connection:
            known = views.findings_since(connection, now - _RECORDED_AGAIN_AFTER)
            for finding in reconciled.findings:
                if finding.mark in known:
                    continue
                record_event(
                    connection,
                    at=now,
                    kind=views.FINDING,
                    actor=actor,
                    run_id=finding.run_id,
                    source=finding.source,
                    order_id=finding.order_id,
                    reason=finding.sentence,
                    detail={"mark": finding.mark, **finding.shape()},
                )
            record_event(
                connection,
                at=now,
                kind="reconciled",
                actor=actor,
                reason=reason,
                detail={
                    "since": reconciled.since.isoformat(),
                    "findings": len(reconciled.findings),
                    "remaining": len(reconciled.remaining),
                },
            )


def _became(row: Run | None, effect_id: str) -> tuple[str, bool]:
    """What became of a run whose effect was reported to it, in words; and whether nothing is left to do."""
    if row is None:
        return "its run is not in the ledger any more", False
    is_its_own = row.result_id == effect_id
    match RunState(row.state):
        case RunState.SUCCEEDED if is_its_own:
            return f"adopted: run {row.id} has succeeded with LearningCart order {effect_id}", True
        case RunState.CANCELLED if is_its_own:
            return "the run stays cancelled, and a review asks a person to take the access back", False
        case RunState.PENDING | RunState.RUNNING if row.result_id is None:
            return "noted: the run adopts it when it goes on, and sends nothing", True
        case _:
            return f"a review ({Reason.DUPLICATE_EFFECT}) asks a person whether there are two", False


def take_night(ledger: Ledger, *, now: datetime, holder: str) -> bool:
    """Whether this night's reconciliation is the caller's: True once a night, however many ask.

    Never on the first day. A night that was slept through is made up for at the first question after it.
    """
    begun_at = now.replace(hour=NIGHT_BEGINS_HOUR_UTC, minute=0, second=0, microsecond=0)
    begun_at -= timedelta(days=1) if begun_at > now else timedelta()
    nightly = TaskName.NIGHTLY_RECONCILIATION
    with ledger.write() as connection:
        if periodic_tasks.begin(connection, nightly, now=now, holder=holder):
            return False  # the first sweep may be under way, and would be told of its own orders
        return periodic_tasks.take(connection, nightly, last_done_before=begun_at, now=now, holder=holder)
