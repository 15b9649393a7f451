"""The judgement: what was sold, held against LearningCart's effect log first, and against the ledger second."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any

from tests.faults.chaos.fleet import Freeze
from tests.faults.chaos.ledger_facts import ENDED, AttemptFact, RunFact
from tests.faults.chaos.sales import Seat
from tests.faults.chaos.storefront import Sold
from worker.ledger.states import Outcome, RunState
from worker.sources.order import email_key

_NAMED_ORDER = re.compile(r"\b(studiocart|frontcore) order (\d+)")
_THAW_SECONDS = 5.0
"""A request that was frozen before its send is sent so soon after the thaw, on a busy machine too."""
_DUPLICATE_EFFECT = "duplicate_effect"


@dataclass(frozen=True)
class Evidence:
    """Everything the judgement is made from."""

    sold: Sequence[Sold]
    effects: Sequence[Mapping[str, Any]]
    """The sandbox's log."""
    runs: Sequence[RunFact]
    attempts: Sequence[AttemptFact]
    findings: Sequence[Mapping[str, Any]]
    """What `cartbridge reconcile --json` found at the end."""
    freezes: Sequence[Freeze]
    skewed: frozenset[int] = frozenset()
    """Processes whose own clock was wrong."""


@dataclass
class ChaosVerdict:
    """The judgement. Everything but `seats`, `comped`, `parked`, `by_thaw` and the times is a list of what is wrong."""

    seats: int = 0
    """Sold and paid, and not taken back."""
    comped: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    """Runs that wait for a person, by reason; failed ones too, as `failed: reason`."""
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    by_thaw: list[str] = field(default_factory=list)
    """Doubled by a process that was frozen between its last check and its send: cannot be prevented."""
    undetected: list[str] = field(default_factory=list)
    """Doubled, and nothing tells of it."""
    doubled: list[str] = field(default_factory=list)
    """Doubled, and no thawed process explains it."""
    stray: list[str] = field(default_factory=list)
    """Comped orders for what was never sold."""
    untold: list[str] = field(default_factory=list)
    """Taken back by the source after access was given, and nobody is asked to revoke it."""
    stuck: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    """What reconcile finds missing, extra or doubled beyond what is told above."""
    access_seconds: list[float] = field(default_factory=list)
    """From sale to comped order, of every seat that got one."""
    recovery_seconds: list[float] = field(default_factory=list)
    """From the first failure of a run that was hit to its success."""
    doubled_order_ids: set[str] = field(default_factory=set)
    """LearningCart's orders of every doubled seat."""

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What must be empty, by name."""
        return {
            "lost": self.lost,
            "doubled": self.doubled,
            "undetected": self.undetected,
            "stray": self.stray,
            "untold": self.untold,
            "stuck": self.stuck,
            "disagreements": self.disagreements,
        }


def judge(evidence: Evidence) -> ChaosVerdict:
    """Judge the whole run."""
    verdict = ChaosVerdict()
    made = _by_seat(evidence.effects)
    runs = defaultdict(list)
    for run in evidence.runs:
        runs[run.source, run.order_id].append(run)
    for sold in evidence.sold:
        for seat in sold.sale.seats:
            effects = made.pop(seat, [])
            _judge_seat(verdict, evidence, sold, seat, effects=effects, runs=runs[seat.source, seat.order_id])
    for seat, effects in made.items():
        verdict.stray.append(f"{_told(seat)}: {_ids(effects)}")
    _count_runs(verdict, evidence.runs)
    _compare_findings(verdict, evidence)
    verdict.recovery_seconds = sorted(_recoveries(evidence))
    verdict.access_seconds.sort()
    return verdict


def _by_seat(effects: Iterable[Mapping[str, Any]]) -> dict[Seat, list[Mapping[str, Any]]]:
    """The comped orders of each seat, by what their comments name: independent of the ledger."""
    made: dict[Seat, list[Mapping[str, Any]]] = defaultdict(list)
    for effect in effects:
        if effect["operation"] == "addCompOrder":
            named = _NAMED_ORDER.search(effect["comments"])
            source, order_id = named.groups() if named else ("", "")
            made[Seat(source, order_id, effect["email"], effect["price_id"])].append(effect)
    return dict(made)


def _judge_seat(
    verdict: ChaosVerdict,
    evidence: Evidence,
    sold: Sold,
    seat: Seat,
    *,
    effects: list[Mapping[str, Any]],
    runs: list[RunFact],
) -> None:
    mine = [run for run in runs if run.email in (None, email_key(seat.email)) and run.price_id in (None, seat.price_id)]
    enrolments = [run for run in mine if run.parent_id is None]
    if sold.paid_at is not None and effects:
        verdict.access_seconds.append(_epoch(effects[0]["at"]) - sold.paid_at)
    if sold.is_withdrawn:
        is_asked = any(run.parent_id is not None and run.reason != _DUPLICATE_EFFECT for run in mine)
        if effects and not is_asked:
            verdict.untold.append(f"{_told(seat)}: {_ids(effects)}")
    elif sold.paid_at is not None:
        verdict.seats += 1
        verdict.comped += bool(effects)
        parked = any(run.state in {RunState.REVIEW, RunState.FAILED} and run.reason for run in enrolments)
        if not effects and not parked:
            told = ", ".join(f"{run.id} {run.state} {run.reason or ''}".strip() for run in enrolments) or "no run"
            verdict.lost.append(f"{_told(seat)}: {told}")
    if len(effects) > 1:
        _judge_doubled(verdict, evidence, seat, effects, enrolments)


def _judge_doubled(
    verdict: ChaosVerdict,
    evidence: Evidence,
    seat: Seat,
    effects: list[Mapping[str, Any]],
    enrolments: list[RunFact],
) -> None:
    verdict.doubled_order_ids |= {str(effect["order_id"]) for effect in effects}
    claimed = {run.result_id for run in enrolments}
    reported = {run.result_id for run in evidence.runs if run.reason == _DUPLICATE_EFFECT}
    for finding in evidence.findings:
        if finding["kind"] == "duplicate":
            reported |= set(finding["learningcart_order_ids"])
    extra = [effect for effect in effects if str(effect["order_id"]) not in claimed] or effects[1:]
    told = f"{_told(seat)}: {_ids(effects)}, run {', '.join(run.id for run in enrolments)}"
    if any(str(effect["order_id"]) not in reported for effect in extra):
        verdict.undetected.append(told)
    run_ids = {run.id for run in enrolments}
    attempts = [each for each in evidence.attempts if each.run_id in run_ids and each.kind == "call"]
    (verdict.by_thaw if _is_explained_by_thaw(effects, attempts, evidence.freezes) else verdict.doubled).append(told)


def _is_explained_by_thaw(
    effects: Sequence[Mapping[str, Any]], attempts: Sequence[AttemptFact], freezes: Sequence[Freeze]
) -> bool:
    """Whether a process that stood still in the middle of a call made one of these right after it was let go on."""
    return any(
        attempt.process_id in freeze.process_ids
        and attempt.started_at.timestamp() <= freeze.from_at + 1.0
        and (attempt.finished_at is None or attempt.finished_at.timestamp() >= freeze.from_at)
        and freeze.until_at <= _epoch(effect["at"]) <= freeze.until_at + _THAW_SECONDS
        for freeze in freezes
        for attempt in attempts
        for effect in effects
    )


def _count_runs(verdict: ChaosVerdict, runs: Sequence[RunFact]) -> None:
    for run in runs:
        if run.state == RunState.REVIEW:
            verdict.parked[run.reason or "without a reason"] += 1
        elif run.state == RunState.FAILED:
            verdict.parked[f"failed: {run.reason}"] += 1
            verdict.failed.append(f"{run.id} {run.key}: {run.reason}")
        elif run.state not in ENDED:
            verdict.stuck.append(f"{run.id} {run.key}: {run.state} {run.reason or ''}".strip())


def _compare_findings(verdict: ChaosVerdict, evidence: Evidence) -> None:
    """Reconcile must find what the effect log shows, and nothing else: revocations are questions, not differences."""
    for finding in evidence.findings:
        ids = set(finding["learningcart_order_ids"])
        is_known = finding["kind"] == "duplicate" and not ids.isdisjoint(verdict.doubled_order_ids)
        if finding["kind"] != "stale" and not is_known:
            verdict.disagreements.append(f"{finding['kind']} {finding['cause']}: {finding['sentence']}")


def _recoveries(evidence: Evidence) -> Iterable[float]:
    """How long each run that was hit took from its first failure, as its attempts tell, to its success.

    What a process under a wrong clock wrote is left out.
    """
    failed_at: dict[str, datetime] = {}
    crooked: set[str] = set()
    for attempt in evidence.attempts:
        if attempt.process_id in evidence.skewed:
            crooked.add(attempt.run_id)
        elif attempt.outcome not in {Outcome.OK, Outcome.ADOPTED, Outcome.ABSENT} and attempt.finished_at is not None:
            failed_at[attempt.run_id] = min(failed_at.get(attempt.run_id, attempt.finished_at), attempt.finished_at)
    for run in evidence.runs:
        if run.state == RunState.SUCCEEDED and run.id in failed_at and run.id not in crooked and run.finished_at:
            yield max((run.finished_at - failed_at[run.id]).total_seconds(), 0.0)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The smallest value that so many percent of the sorted values do not exceed; None of none."""
    return ordered[max(ceil(len(ordered) * percent / 100) - 1, 0)] if ordered else None


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _told(seat: Seat) -> str:
    return f"{seat.source}/{seat.order_id} {seat.email} {seat.price_id}"


def _ids(effects: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"order {effect['order_id']} at {effect['at'][11:23]}" for effect in effects)
