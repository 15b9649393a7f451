"""Which seats of an order are one enrolment: seats that were named otherwise before, and participants on two lines.

Pure. Seat ids are the sources' (`participant-1-user-2`, `user-2`); other seats, such as a cart's `buyer`, never go
together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.ledger import keys
from worker.ledger.states import RunState
from worker.sources.order import Learner, Line, Order, Seat, email_key
from workflows.planning.model import ENROLMENT, REVOCATION, WHOLE_ORDER, KnownRun
from workflows.planning.names import is_same_name, name_of
from workflows.planning.offers import Ignore, Offer, Offers
from workflows.planning.reviews import closed_by_operator

Place = tuple[str, str]
"""A seat's line and id."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_PERSON = re.compile(r"(?:participant-(?P<participant>.+?)-)?user-(?P<user>.+)")
_NAMELESS = re.compile(r"seat-[0-9]+")


@dataclass(frozen=True)
class Seating:
    """What planning must know of an order's seats besides each alone."""

    moved: dict[Place, Place]
    """Where the seat of earlier runs is now, by where it was."""
    covered: dict[Place, frozenset[int]]
    """The prices that a participant gets by another line of the same course, by the seat that needs none of its own."""
    named: dict[Place, Place]
    """Where the planned runs of a nameless seat are now, for which an operator named somebody, as its source does now.
    The seat itself may still be there, for somebody else."""

    def place_of(self, run: KnownRun) -> Place:
        """The seat a run is for, as the order is now."""
        was = (run.line_id, run.seat_id)
        return self.named[was] if was in self.named and _is_fixed(run) else self.moved.get(was, was)

    def gone(self, order: Order, runs: Iterable[KnownRun]) -> frozenset[str]:
        """The runs whose seat the order has no more, by their ids; none where its source does not show its lines."""
        present = {(line.id, seat.id) for line in order.lines for seat in line.seats}
        return frozenset(run.id for run in runs if order.lines_known and self.place_of(run) not in present)


def seating(order: Order, offers: Offers, runs: Sequence[KnownRun]) -> Seating:
    """How the order's seats go together, given all of its runs."""
    enrolments = [run for run in runs if run.workflow == ENROLMENT and run.line_id != WHOLE_ORDER]
    named = _named_since(order, enrolments) if order.lines_known else {}
    lost = taken_back(runs)
    moved = _moved(order, offers, enrolments, taken=named.values(), lost=lost) if order.lines_known else {}
    found = Seating(moved, {}, named)
    planned = {found.place_of(run) for run in enrolments if _is_fixed(run)}
    return Seating(moved, _covered(order, offers, planned), named)


def _is_fixed(run: KnownRun) -> bool:
    return not run.is_placeholder and run.cancelled_by != "superseded"


# Seats that were named otherwise before


def _named_since(order: Order, runs: Sequence[KnownRun]) -> dict[Place, Place]:
    """Match nameless seats, for whom an operator named somebody, with the seats by which their source names them now.

    A person's seat would be another, and a second comped order, as soon as the source knows of them too.
    """
    planned = {(run.line_id, run.seat_id) for run in runs if _is_fixed(run)}
    closed = {(run.line_id, run.seat_id) for run in runs if run.is_placeholder and closed_by_operator(run)}
    free: dict[tuple[str, str], list[Place]] = {}
    nameless: set[Place] = set()
    for line in order.lines:
        for seat in line.seats:
            if seat.learner is None:
                nameless.add((line.id, seat.id))
            elif (line.id, seat.id) not in planned | closed and (_PERSON.fullmatch(seat.id) or is_nameless(seat.id)):
                free.setdefault((line.id, email_key(seat.learner.email)), []).append((line.id, seat.id))
    present = {(line.id, seat.id) for line in order.lines for seat in line.seats}
    found: dict[Place, Place] = {}
    for run in sorted(filter(_is_fixed, runs), key=lambda each: (_rank([each]), each.key)):
        was = (run.line_id, run.seat_id)
        is_left = was in nameless or was not in present
        if run.learner is None or was in found or not (is_left and is_nameless(run.seat_id)):
            continue
        places = free.get((run.line_id, email_key(run.learner.email)))
        if places:
            found[was] = places.pop(0)
    return found


def _moved(
    order: Order,
    offers: Offers,
    runs: Sequence[KnownRun],
    *,
    taken: Collection[Place],
    lost: frozenset[str],
) -> dict[Place, Place]:
    """Match seats that are gone, and have runs, with the new ones of the same user.

    On one line when participants became known, or are no longer told: `user-2` is then `participant-1-user-2`. On any
    line when the course stayed and the place did not, as by another course date: what it grants tells. So neither a
    late participant nor a move makes a second comped order. Nor does a person whose user is another now: two records of
    one that were made one, or a booking made anew. One whose access was taken back before, as `lost` says, is booked
    anew.
    """
    present = {(line.id, seat.id): line for line in order.lines for seat in line.seats}
    gone: dict[Place, list[KnownRun]] = {}
    for run in runs:
        if (run.line_id, run.seat_id) not in present and _PERSON.fullmatch(run.seat_id):
            gone.setdefault((run.line_id, run.seat_id), []).append(run)
    planned = {(run.line_id, run.seat_id) for run in runs if _is_fixed(run)}
    free = [place for place in present if place not in {*planned, *taken} and _PERSON.fullmatch(place[1])]

    def stays(was: Place, now: Place) -> bool:
        """Whether the course is the same: by what it granted and grants."""
        return not _granted(gone[was]).isdisjoint(prices_of(offers.match(order.source, present[now])))

    moved: dict[Place, Place] = {}
    given = {was: [run.key for run in gone[was] if run.state is RunState.SUCCEEDED] for was in gone}
    is_lost = {was for was, run_keys in given.items() if run_keys and lost.issuperset(run_keys)}
    for was in sorted(gone, key=lambda place: (place in is_lost, _rank(gone[place]), place)):
        user = None if was in is_lost else _user_and_participant(was)[0]
        found = next((now for now in free if _is_renamed(was, now)), None) or next(
            (now for now in free if user is not None and user == _user_and_participant(now)[0] and stays(was, now)),
            None,
        )
        if found is not None:
            moved[was] = found
            free.remove(found)
    people = {(line.id, seat.id): seat.learner for line in order.lines for seat in line.seats}
    for was in sorted(gone.keys() - moved.keys(), key=lambda place: (_rank(gone[place]), place)):
        same = (now for now in free if stays(was, now) and _is_of_person(gone[was], people[now]))
        if was not in is_lost and (found := next(same, None)) is not None:
            moved[was] = found
            free.remove(found)
    return moved


def is_nameless(seat_id: str) -> bool:
    """Whether a seat is one that its source names nobody for, by its id."""
    return _NAMELESS.fullmatch(seat_id) is not None


def taken_back(runs: Iterable[KnownRun]) -> frozenset[str]:
    """The keys of runs whose access was taken back, by an operator's word, and not given again, by hand or by a run."""
    runs = tuple(runs)
    latest: dict[str, tuple[datetime, int, bool]] = {}
    for run in runs:
        key, _, word = run.key.rpartition("/")
        asked, _, number = word.partition("-")
        if run.workflow == REVOCATION and run.state is RunState.SUCCEEDED and asked in {keys.REVOKE, keys.REGRANT}:
            answer = (run.finished_at or _NEVER, int(number or 1), asked == keys.REGRANT)
            latest[key] = max(answer, latest.get(key, answer))
    given_at = {run.key: run.finished_at or _NEVER for run in runs if run.state is RunState.SUCCEEDED}
    return frozenset(
        key for key, (at, _, is_given) in latest.items() if not is_given and given_at.get(key, _NEVER) <= at
    )


def _is_of_person(runs: Sequence[KnownRun], learner: Learner | None) -> bool:
    """Whether runs are of a learner: by the address and the name, which the booker's address alone would not tell."""
    known = [run.learner for run in runs if run.learner is not None and _is_fixed(run)]
    if learner is None or not name_of(learner):
        return False
    key, name = email_key(learner.email), name_of(learner)
    return any(email_key(each.email) == key and name_of(each) and is_same_name(name_of(each), name) for each in known)


def _rank(runs: Sequence[KnownRun]) -> int:
    """What took effect, or may have, goes first; what was never more than a question goes last."""
    if any(run.state is RunState.SUCCEEDED or run.is_untouchable for run in runs if _is_fixed(run)):
        return 0
    if any(_is_fixed(run) and run.state is not RunState.CANCELLED for run in runs):
        return 1
    return 2 if any(_is_fixed(run) for run in runs) else 3


def _user_and_participant(place: Place) -> tuple[str | None, str | None]:
    found = _PERSON.fullmatch(place[1])
    return (found["user"], found["participant"]) if found else (None, None)


def is_moved(was: Place, now: Place) -> bool:
    """Whether two places may be one person's, before and after a participant or a course date became known."""
    user, user_now = _user_and_participant(was)[0], _user_and_participant(now)[0]
    return _is_renamed(was, now) or (user is not None and user == user_now and was[0] != now[0] and was[1] == now[1])


def _is_renamed(was: Place, now: Place) -> bool:
    (user, participant), (user_now, participant_now) = _user_and_participant(was), _user_and_participant(now)
    return was[0] == now[0] and user == user_now and (participant is None) != (participant_now is None)


def _granted(runs: Sequence[KnownRun]) -> frozenset[int]:
    return frozenset(run.grant.price_id for run in runs if run.grant is not None and _is_fixed(run))


def prices_of(rule: Offer | Ignore | None) -> frozenset[int]:
    """The prices that a rule grants; none where there is no rule, or nothing is granted by it."""
    return frozenset(grant.price_id for grant in rule.grants) if isinstance(rule, Offer) else frozenset()


# Participants on two lines


def _covered(order: Order, offers: Offers, planned: set[Place]) -> dict[Place, frozenset[int]]:
    """A course offer grants once per participant: on the line that is planned already, else the first that can be."""
    groups: dict[tuple[str | None, str], list[tuple[Line, Seat, Offer]]] = {}
    for line in order.lines:
        rule = offers.match(order.source, line)
        if isinstance(rule, Offer) and rule.course_id is not None:
            for seat in line.seats:
                if seat.id.startswith(("participant-", "user-")):
                    groups.setdefault((line.product.course_id, seat.id), []).append((line, seat, rule))
    covered: dict[Place, frozenset[int]] = {}
    for group in groups.values():
        # Stable, so that among equals the first line stays first.
        ranked = sorted(group, key=lambda each: ((each[0].id, each[1].id) not in planned, each[1].hold is not None))
        granted: frozenset[int] = frozenset()
        for line, seat, rule in ranked:
            covered[line.id, seat.id] = granted
            granted |= prices_of(rule)
    return {place: prices for place, prices in covered.items() if prices}
