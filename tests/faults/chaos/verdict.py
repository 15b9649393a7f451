"""The judgement of a chaos run: what all judgements share, and which doubles a frozen process explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any

from tests.faults.chaos.fleet import Freeze
from tests.faults.chaos.storefront import Sold
from tests.faults.judging.ledger import ENDED, AttemptFact, RunFact
from tests.faults.judging.sold import Access, CompedOrder
from tests.faults.judging.verdict import SeatFacts, Wrong, match
from worker.ledger.states import Outcome, RunState

_THAW_SECONDS = 5.0
"""A request that was frozen before its send is sent so soon after the thaw, on a busy machine too."""


@dataclass(frozen=True)
class Evidence:
    """Everything the judgement is made from."""

    sold: Sequence[Sold]
    made: Sequence[CompedOrder]
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
    unrevoked: list[str] = field(default_factory=list)
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
            "unrevoked": self.unrevoked,
            "stuck": self.stuck,
            "disagreements": self.disagreements,
        }


def judge(evidence: Evidence) -> ChaosVerdict:
    """Judge the whole run."""
    verdict = ChaosVerdict()
    expected = {seat: sold.access for sold in evidence.sold for seat in sold.sale.seats}
    paid_at = {seat: sold.paid_at for sold in evidence.sold for seat in sold.sale.seats}
    found, stray = match(expected, evidence.made, evidence.runs)
    reported = {
        order_id
        for finding in evidence.findings
        if finding["kind"] == "duplicate"
        for order_id in finding["learningcart_order_ids"]
    }
    for facts in found:
        _judge_seat(verdict, evidence, facts, reported)
        paid = paid_at[facts.seat]
        if paid is not None and facts.made:
            verdict.access_seconds.append(facts.made[0].at.timestamp() - paid)
    verdict.stray += [f"{order.source}/{order.order_id} {order.email} {order.price_id}: {order}" for order in stray]
    _count_runs(verdict, evidence.runs)
    _compare_findings(verdict, evidence)
    verdict.recovery_seconds = sorted(_recoveries(evidence))
    verdict.access_seconds.sort()
    return verdict


def _judge_seat(verdict: ChaosVerdict, evidence: Evidence, facts: SeatFacts, reported: set[str]) -> None:
    if facts.access is Access.DUE:
        verdict.seats += 1
        verdict.comped += bool(facts.made)
    lists = {
        Wrong.LOST: verdict.lost,
        Wrong.UNMADE: verdict.lost,
        Wrong.UNDETECTED: verdict.undetected,
        Wrong.UNREVOKED: verdict.unrevoked,
        Wrong.GIVEN: verdict.stray,
    }
    for wrong, sentence in facts.wrong(reported=reported):
        if wrong is Wrong.DOUBLED:
            verdict.doubled_order_ids |= {order.id for order in facts.made}
            (verdict.by_thaw if _is_explained_by_thaw(facts, evidence) else verdict.doubled).append(sentence)
        else:
            lists[wrong].append(sentence)


def _is_explained_by_thaw(facts: SeatFacts, evidence: Evidence) -> bool:
    """Whether a process that stood still in the middle of a call made one of these right after it was let go on."""
    run_ids = {run.id for run in facts.enrolments}
    attempts = [each for each in evidence.attempts if each.run_id in run_ids and each.kind == "call"]
    return any(
        attempt.process_id in freeze.process_ids
        and attempt.started_at.timestamp() <= freeze.from_at + 1.0
        and (attempt.finished_at is None or attempt.finished_at.timestamp() >= freeze.from_at)
        and freeze.until_at <= order.at.timestamp() <= freeze.until_at + _THAW_SECONDS
        for freeze in evidence.freezes
        for attempt in attempts
        for order in facts.made
    )


def _count_runs(verdict: ChaosVerdict, runs: Sequence[RunFact]) -> None:
    for run in runs:
        if run.state == RunState.REVIEW:
            verdict.parked[run.reason or "without a reason"] += 1
        elif run.state == RunState.FAILED:
            verdict.parked[f"failed: {run.reason}"] += 1
            verdict.failed.append(str(run))
        elif run.state not in ENDED:
            verdict.stuck.append(str(run))


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
