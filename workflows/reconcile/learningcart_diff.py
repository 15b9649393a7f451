"""Compares LearningCart's own orders with what the ledger's runs say they have made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from worker.clients.learningcart.models import Order as LearningCartOrder
from worker.clients.reading import id_of
from worker.errors import ApiError, NotFoundError
from worker.formatting import counted
from worker.ledger import keys, pauses
from worker.ledger.runs import recoveries
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.ledger import Recovery
from worker.ledger.tables.runs import Run
from worker.ledger.views import reconcile as comparison
from worker.ledger.views.reconcile import Intent
from worker.reasons import Reason
from worker.settings.settings import SOURCES
from worker.sources.order import email_key
from workflows.enrolment.steps import LEARNINGCART
from workflows.ingest.set_aside import describe_failure
from workflows.planning.model import ENROLMENT
from workflows.reconcile.findings import Cause, Finding, Kind, fix_command, unchecked

_WINDOW: Final = timedelta(days=7)
_ZONE_MARGIN: Final = timedelta(days=1)
"""LearningCart's time zone is not stated: what is asked for is a day wider on each side."""
_FAILURES_IN_A_ROW: Final = 3
"""So many lookups by id that fail one after the other are enough to stop asking."""
_ORDER_NAMED = re.compile(rf"\b({'|'.join(SOURCES)}) order (\S+)")
"""How our comments name the source's order behind the reference."""

COMPED_STEP: Final = "add_comped_order"
"""The step whose effects carry references."""


class OrderReader(Protocol):
    """What is asked of LearningCart's client. Raises `ApiError`."""

    def get_orders_by_date(self, begin_at: datetime | None, end_at: datetime | None = None) -> list[LearningCartOrder]:
        """The orders of a window."""

    def get_order_by_id(self, order_id: int) -> LearningCartOrder:
        """One order; `NotFoundError` when there is none of that id."""


@dataclass(frozen=True)
class _Listed:
    """One of LearningCart's orders, as far as it matters here."""

    id: str
    references: frozenset[str]
    named: str | None
    """`SOURCE/ORDER`, where its comments name one."""
    sold: frozenset[tuple[object, ...]]
    """Who was given what, comped, once for each line; none where the order does not say."""
    ordered_at: datetime | None = None

    @property
    def order(self) -> tuple[str, str]:
        """The source's order it names."""
        source, _, order_id = (self.named or "").partition("/")
        return source, order_id


@dataclass
class LearningCartDiff:
    """LearningCart's orders of a window, read once, and their comparison with the ledger. Writes nothing."""

    ledger: Ledger
    client: OrderReader
    since: datetime
    should_stop: Callable[[], bool] = lambda: False
    problem: str | None = None
    """Why the orders could not be read; then nothing is compared, and nothing is said to be missing."""
    provisioned: set[str] = field(default_factory=set)
    """`SOURCE/ORDER` of every effect whose run the ledger does not know, and would make again."""
    has_nameless: bool = False
    """Such an effect names no order."""
    _listed: dict[str, _Listed] = field(default_factory=dict)

    def read(self, *, now: datetime) -> None:
        """Ask LearningCart for its orders. A failure is kept in `problem`."""
        with self.ledger.read() as connection:
            pause = pauses.pause_of(connection, LEARNINGCART)
        if pause is not None and pause.kind == "authentication":
            self.problem = "LearningCart refuses our credentials, and is paused"
            return
        begin_at, end_at = self.since - _ZONE_MARGIN, now + _ZONE_MARGIN
        try:
            while begin_at < end_at:
                self._stop_if_asked()
                for order in self.client.get_orders_by_date(begin_at, min(begin_at + _WINDOW, end_at)):
                    if order.order_id < 1:  # it cannot be read, and so not be compared
                        continue
                    listed = self._take(order)
                    self._listed[listed.id] = listed
                begin_at += _WINDOW
        except ApiError as error:
            self.problem = describe_failure(error, self.ledger)

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            raise ApiError("stopped: the process ends", system=LEARNINGCART, operation="reconcile", retryable=True)

    def _take(self, order: LearningCartOrder) -> _Listed:
        if order.customer is None:  # a list may leave out what the order itself tells
            with suppress(ApiError):
                order = self.client.get_order_by_id(order.order_id)
        named = _ORDER_NAMED.search(order.customer_comments or "")
        return _Listed(
            id=str(order.order_id),
            references=frozenset(keys.references_in(order.customer_comments)),
            named=f"{named.group(1)}/{named.group(2)}" if named else None,
            sold=_sold(order),
            ordered_at=order.ordered_at,
        )

    def compare(self) -> Iterator[Finding]:
        """Every difference. Call `read` first."""
        if self.problem is not None:
            yield unchecked(f"LearningCart's orders could not be checked: {self.problem}")
            return
        yield from self._compare_claims()
        yield from self._compare_references()
        yield from self._compare_handmade()

    # What runs claim to have made

    def _compare_claims(self) -> Iterator[Finding]:
        with self.ledger.read() as connection:
            claims = comparison.runs_with_effect(connection, ENROLMENT, since=self.since)
            unseen = [row for row in claims if row.result_id not in self._listed]
            answered = comparison.answered_results(connection, {row.id for row in unseen})
        failures = 0
        for number, row in enumerate(unseen):
            if failures == _FAILURES_IN_A_ROW:
                left = len(unseen) - number
                yield unchecked(f"{counted(left, 'further run')} could not be checked: LearningCart did not answer.")
                return
            try:
                exists = self._exists(row.result_id or "")
            except ApiError as error:
                failures += 1
                why = describe_failure(error, self.ledger, run_id=row.id)
                sentence = f"Whether LearningCart order {row.result_id} exists could not be checked: {why}"
                yield unchecked(sentence, run_id=row.id, **_ids(row, row.result_id))
                continue
            failures = 0
            if not exists:
                yield _gone(row, was_there=(row.id, row.result_id) in answered)

    def _exists(self, order_id: str) -> bool:
        """Whether LearningCart knows an order, by its own answer alone."""
        self._stop_if_asked()
        number = id_of(order_id)
        if number is None:
            return False
        try:
            self.client.get_order_by_id(number)
        except NotFoundError:
            return False
        return True

    # What carries our reference

    def _compare_references(self) -> Iterator[Finding]:
        marked = [listed for listed in self._listed.values() if listed.references]
        references = {reference for listed in marked for reference in listed.references}
        named = {listed.order for listed in marked if listed.named is not None}
        with self.ledger.read() as connection:
            intents = comparison.intents(connection, references, since=self.since - _ZONE_MARGIN)
            planned = comparison.runs_of_orders(connection, ENROLMENT, named)
            # Of a run that never sent anything: the ledger was restored from a copy made before it did.
            intents = {each: found for run in planned for each, found in _derived(run) if each in references} | intents
            rows = comparison.runs_by_id(connection, {intent.run_id for intent in intents.values()})
            accounted = comparison.accounted_results(connection, {listed.id for listed in marked})
            waiting = [row.id for row in rows.values() if row.state in {RunState.PENDING, RunState.WAITING}]
            asked_soon = effect_open_runs(connection, waiting)
            reported = comparison.keys_in_use(
                connection,
                {
                    f"{rows[intents[reference].run_id].key}/{keys.DUPLICATE}/{listed.id}"
                    for listed in marked
                    for reference in listed.references & intents.keys()
                },
            )
            lost = _Lost(comparison.withdrawn_orders(connection, named), recoveries.read_all(connection))
        adopting: set[str] = set()
        for listed in sorted(marked, key=lambda each: int(each.id)):
            for reference in sorted(listed.references):
                intent = intents.get(reference)
                if listed.id in accounted:
                    continue
                if intent is None:
                    yield self._unknown(listed, reference, lost)
                    continue
                row = rows[intent.run_id]
                is_in_hand = row.state == RunState.RUNNING or row.id in asked_soon
                if not is_in_hand and f"{row.key}/{keys.DUPLICATE}/{listed.id}" not in reported:
                    found = self._unclaimed(listed, reference, intent, row, adopting)
                    is_forgotten = intent.number is None and not lost.explains(listed, since=self.since)
                    yield replace(found, is_sign_of_restore=is_forgotten)

    def _unknown(self, listed: _Listed, reference: str, lost: _Lost) -> Finding:
        source, order_id = listed.order
        is_recovered = lost.explains(listed, since=self.since)
        if not is_recovered and listed.named is None:
            self.has_nameless = True
        elif not is_recovered and listed.named is not None:
            self.provisioned.add(listed.named)
        kind, cause, sentence, command = lost.verdict(listed, is_recovered=is_recovered, since=self.since)
        return Finding(
            kind,
            cause,
            sentence,
            command,
            source=source or None,
            order_id=order_id or None,
            effect_ids=(listed.id,),
            reference=reference,
            is_sign_of_restore=not is_recovered,
        )

    def _unclaimed(self, listed: _Listed, reference: str, intent: Intent, row: Run, adopting: set[str]) -> Finding:
        """An effect of one of our runs that the run does not know of."""
        has_another = row.result_id is not None or row.state == RunState.SUCCEEDED or row.id in adopting
        # A later generation than the run's own is one that a restored ledger forgot.
        if has_another or intent.generation < row.generation:
            other = f" beside order {row.result_id}" if row.result_id else ""
            sentence = f"LearningCart order {listed.id} is a second effect of run {row.id} ({row.state}){other}."
            if row.reason == Reason.DONE_BY_HAND and row.result_id is None:
                by_hand = f"run {row.id}, which was done by hand: it is what was meant, or one too many"
                sentence = f"LearningCart order {listed.id} was made by {by_hand}."
            kind, cause = Kind.DUPLICATE, Cause.SECOND_EFFECT
        else:
            adopting.add(row.id)
            sentence = (
                f"LearningCart order {listed.id} was made by run {row.id}, which is {row.state} and does not know."
            )
            kind, cause = Kind.EXTRA, Cause.LANDED_EFFECT
        return Finding(
            kind,
            cause,
            sentence,
            fix_command(self.since),
            run_id=row.id,
            reference=reference,
            is_safe_to_fix=True,
            **_ids(row, listed.id),
        )

    # What was made by hand

    def _compare_handmade(self) -> Iterator[Finding]:
        """One customer who was given one thing twice, once at least by hand. It may be meant: it is a question."""
        by_gift: dict[tuple[object, ...], list[_Listed]] = {}
        for listed in self._listed.values():
            for gift in listed.sold:
                by_gift.setdefault(gift, []).append(listed)
        groups = sorted(
            {tuple(sorted((each.id for each in group), key=int)) for group in by_gift.values() if len(group) > 1}
        )
        with self.ledger.read() as connection:
            of_runs = {order_id for group in groups for order_id in group}
            accounted = comparison.accounted_results(connection, of_runs)
            claiming = comparison.runs_by_result(connection, of_runs)
        for group in groups:
            by_hand = [each for each in group if not self._listed[each].references and each not in accounted]
            if not by_hand:
                continue
            run = next((claiming[each] for each in group if each in claiming), None)
            yield Finding(
                Kind.DUPLICATE,
                Cause.HANDMADE_TWIN,
                f"LearningCart orders {_listing(group)} give one customer the same thing, and {_listing(by_hand)} "
                f"{'was' if len(by_hand) == 1 else 'were'} made by hand. Is one too many? Then cancel it there.",
                f"cartbridge runs show {run.id}" if run else fix_command(self.since).removesuffix(" --fix"),
                source=run.source if run else None,
                order_id=run.order_id if run else None,
                run_id=run.id if run else None,
                effect_ids=group,
            )


@dataclass(frozen=True)
class _Lost:
    """What is known of effects whose runs are not."""

    withdrawn: Mapping[tuple[str, str], str]
    """The orders that their source has cancelled or refunded since, with its word for it."""
    recovered: Sequence[Recovery]

    def explains(self, listed: _Listed, *, since: datetime) -> bool:
        """Whether the operator has said that the ledger forgot the time in which an effect was made."""
        if listed.ordered_at is None:
            return any(each.recovered_at >= since for each in self.recovered)
        return any(
            each.copied_at - _ZONE_MARGIN <= listed.ordered_at <= each.recovered_at + _ZONE_MARGIN
            for each in self.recovered
        )

    def verdict(self, listed: _Listed, *, is_recovered: bool, since: datetime) -> tuple[Kind, Cause, str, str]:
        """Kind, cause, sentence and command."""
        why = f"cartbridge why {listed.named}"
        status = self.withdrawn.get(listed.order)
        if status is not None:
            sentence = (
                f"LearningCart order {listed.id} gives access for order {listed.named}, which is {status}, and no run "
                "of this ledger knows it, so nobody was asked: take the access back there by hand."
            )
            return Kind.STALE, Cause.LOST_REVOCATION, sentence, why
        about = f" of order {listed.named}" if listed.named else ""
        carries = f"LearningCart order {listed.id}{about} carries a reference of ours that no run of this ledger has"
        look = fix_command(since).removesuffix(" --fix")
        if is_recovered:
            sentence = f"{carries}: it was made in the time that the ledger forgot. The run of its seat adopts it."
            source, order_id = listed.order
            return (
                Kind.EXTRA,
                Cause.UNKNOWN_REFERENCE,
                sentence,
                f"cartbridge ingest {source} {order_id}" if source else look,
            )
        sentence = (
            f"{carries}. Was the ledger restored from an older copy? Then: cartbridge recover. Or does another "
            "installation use this LearningCart?"
        )
        return Kind.EXTRA, Cause.UNKNOWN_REFERENCE, sentence, why if listed.named else look


def _derived(run: Run) -> Iterator[tuple[str, Intent]]:
    """The references that a run's comped orders carry, whether it has sent any or not."""
    for generation in range(run.generation + keys.GENERATIONS_AHEAD + 1):
        reference = keys.reference(run.key, COMPED_STEP, generation)
        yield reference, Intent(run.id, COMPED_STEP, None, generation, None)


def _gone(row: Run, *, was_there: bool) -> Finding:
    """A run whose order LearningCart does not know."""
    what = "does not exist any more" if was_there else "does not exist, and LearningCart never told of it"
    why = "was deleted" if was_there else "was never made"
    return Finding(
        Kind.MISSING,
        Cause.EFFECT_GONE if was_there else Cause.EFFECT_NEVER_MADE,
        f"Run {row.id} has succeeded with LearningCart order {row.result_id}, which {what}. "
        "Look at the learner's orders there first: the id may have been mistyped, and the command makes a new order.",
        f'cartbridge replay {row.id} --from-step {COMPED_STEP} --again --reason "order {row.result_id} {why}"',
        run_id=row.id,
        **_ids(row, row.result_id),
    )


def _ids(row: Run, effect_id: str | None) -> dict[str, Any]:
    return {"source": row.source, "order_id": row.order_id, "effect_ids": (effect_id,)}


def _sold(order: LearningCartOrder) -> frozenset[tuple[object, ...]]:
    """Who was given what for nothing, line by line. LearningCart's orders name a product and a price, not its id."""
    customer = order.customer
    if customer is None or order.grand_total:
        return frozenset()
    who = email_key(customer.email) if customer.email else customer.customer_id
    products = [line.product for line in order.order_details if line.product is not None]
    return frozenset(
        (who, product.product_id or product.product_name, product.price_name)
        for product in products
        if product.product_id or product.product_name
    )


def _listing(order_ids: tuple[str, ...] | list[str]) -> str:
    """`7`, `7 and 8`, `7, 8 and 9`."""
    *most, last = order_ids
    return f"{', '.join(most)} and {last}" if most else last
