"""The judgement that all of the proof shares: what was sold, what LearningCart made, and what the ledger says of it.

`match` brings together what belongs to a seat. `SeatFacts.wrong` says what must hold whatever has happened,
`SeatFacts.unlike_once` what must hold where nothing needs a person. Each runner adds the rules of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.judging.ledger import RunFact
from tests.faults.judging.sold import Access, CompedOrder, Seat
from worker.ledger.states import RunState

_DUPLICATE_EFFECT = "duplicate_effect"


class Wrong(StrEnum):
    """What may be wrong with a seat."""

    LOST = "lost"
    """Due, and neither made nor a question to a person."""
    UNMADE = "succeeded, and nothing was made"
    DOUBLED = "doubled"
    UNDETECTED = "undetected"
    """Made, and neither the result of a run nor a question to a person."""
    UNREVOKED = "unrevoked"
    """Made and withdrawn, and nobody is asked to take it back."""
    GIVEN = "given, and not due"


@dataclass
class SeatFacts:
    """A seat and everything about it."""

    seat: Seat
    access: Access
    made: list[CompedOrder] = field(default_factory=list)
    enrolments: list[RunFact] = field(default_factory=list)
    """Its runs, or what holds their place; none that was superseded."""
    questions: list[RunFact] = field(default_factory=list)
    """What a person is asked about the effects of its runs."""

    @property
    def has_succeeded(self) -> bool:
        return any(run.state == RunState.SUCCEEDED for run in self.enrolments)

    @property
    def revocations(self) -> list[RunFact]:
        """The questions whether to take access back."""
        return [run for run in self.questions if run.reason != _DUPLICATE_EFFECT]

    def wrong(self, *, most: int = 1, reported: Collection[str] = ()) -> Iterator[tuple[Wrong, str]]:
        """What does not hold, with a sentence.

        `most`: how many comped orders may be there. `reported`: the ids of those that another report names.
        """
        if len(self.made) > most:
            yield Wrong.DOUBLED, self._sentence(f"{len(self.made)} comped orders")
        if not self.made and self.has_succeeded:
            yield Wrong.UNMADE, self._sentence("nothing was made")
        elif self.access is Access.DUE and not self.made and not any(run.is_parked for run in self.enrolments):
            yield Wrong.LOST, self._sentence("paid, nothing was made, and nobody is asked")
        elif self.access is Access.WITHDRAWN and self.made and not self.revocations:
            yield Wrong.UNREVOKED, self._sentence("made and withdrawn, and nobody is asked to take it back")
        elif self.access is Access.NOT_DUE and self.made:
            yield Wrong.GIVEN, self._sentence("given, and not due")
        if not {order.id for order in self._extra(most)} <= {run.result_id for run in self.questions} | set(reported):
            yield Wrong.UNDETECTED, self._sentence("a comped order that nothing tells of")

    def _extra(self, most: int) -> list[CompedOrder]:
        """The comped orders that somebody must be told of."""
        results = {run.result_id for run in self.enrolments}
        return [order for order in self.made if order.id not in results] or self.made[most:]

    def unlike_once(self) -> Iterator[str]:
        """What is not as it must be where nothing needs a person: one run, which succeeded with the one order."""
        if [run.state for run in self.enrolments] != [RunState.SUCCEEDED] or self.questions:
            yield self._sentence("not one succeeded run")
        if len(self.made) != 1:
            yield self._sentence(f"{len(self.made)} comped orders")
        elif [run.result_id for run in self.enrolments] != [self.made[0].id]:
            yield self._sentence("the run names another comped order than was made")

    def _sentence(self, what: str) -> str:
        made = ", ".join(map(str, self.made)) or "none"
        known = ", ".join(map(str, [*self.enrolments, *self.questions])) or "none"
        return f"{self.seat}: {what} (comped orders: {made}; runs: {known})"


def match(
    expected: Mapping[Seat, Access], made: Iterable[CompedOrder], runs: Iterable[RunFact]
) -> tuple[list[SeatFacts], list[CompedOrder]]:
    """What belongs to each seat; and the comped orders that belong to none, which nobody bought."""
    facts = {seat: SeatFacts(seat, access) for seat, access in expected.items()}
    by_order: dict[tuple[str, str], list[SeatFacts]] = {}
    for each in facts.values():
        by_order.setdefault((each.seat.source, each.seat.order_id), []).append(each)
    stray: list[CompedOrder] = []
    for order in made:
        owner = next(
            (each for each in by_order.get((order.source, order.order_id), ()) if order.is_for(each.seat)), None
        )
        (stray if owner is None else owner.made).append(order)
    known = list(runs)
    for run in known:
        for each in by_order.get((run.source, run.order_id), ()):
            if run.workflow == "enrolment" and not run.is_superseded and run.is_for(each.seat):
                each.enrolments.append(run)
    for each in facts.values():
        ids = {run.id for run in each.enrolments}
        each.questions = [run for run in known if run.workflow == "revocation" and run.parent_id in ids]
    return list(facts.values()), stray
