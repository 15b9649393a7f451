"""The lines of a Frontcore order with a seat for each participant, and why a seat cannot be provisioned.

A seat is a participant (a place on a course date) and a user (a person): `participant-124920-user-154420`. Another user
on the same participant is thus another seat, and the same user with a corrected email the same one. A user whom no
participant places is `user-154420`; a place that is paid for and names nobody is `seat-2`, counted on the line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from worker.clients.frontcore import models as records
from worker.sources.order import (
    LARGEST_QUANTITY,
    MOST_LINES,
    Address,
    Learner,
    Line,
    Product,
    Seat,
    address_note,
    email_key,
    has_too_many_seats,
    is_email,
    trimmed_email,
)
from worker.text.entities import decoded

WAITING_LIST: Final = 3
COURSE_CANCELLED: Final = 3
PARTICIPANT_STATUSES: Final = frozenset({1, WAITING_LIST})
"""Those of a participant that are ruled on: 1 confirmed, 3 waiting list (vendor). Other numbers exist."""
COURSE_DATE_STATUSES: Final = frozenset({1, 2, COURSE_CANCELLED, 4})
"""Those of a course date: 1 to be defined, 2 will run, 3 cancelled, 4 postponed (vendor)."""


@dataclass(frozen=True)
class _People:
    """Whom an order names, by user id, and the country they are taken to be in: only the customer has one."""

    by_id: dict[str, records.User]
    country: str


@dataclass(frozen=True)
class _Place:
    """A seat, and the course it is for."""

    seat: Seat
    course_id: str | None = None


def lines_of(record: records.Order) -> tuple[Line, ...]:
    """The order's lines. A line whose participants are on different courses comes in as many parts, under one id."""
    people = _people(record)
    lines: list[Line] = []
    line_ids = _LineIds()
    given = record.lines or ()
    is_too_large = has_too_many_seats(1 if line.quantity is None else line.quantity for line in given)
    for line in given[:MOST_LINES] if is_too_large else given:
        line_id = line_ids.take(line)
        if not is_price_negative(line):  # it takes something off the price, and sells nobody a place
            quantity = Decimal(LARGEST_QUANTITY + 1) if is_too_large else line.quantity
            lines += _parts(line, line_id, people, quantity)
    return _hold_shared_emails(lines)


def is_credited(record: records.Order) -> bool:
    """Whether what the order sold was credited in whole: lines that take places back leave nothing to pay.

    A price below zero credits only what another line sells; else it is a discount.
    """
    lines = record.lines or ()
    sold = [line for line in lines if not is_price_negative(line) and (line.quantity is None or line.quantity > 0)]
    products = {line.product.id for line in sold if line.product is not None and line.product.id is not None}
    is_taken_back = any(
        (line.quantity is not None and line.quantity < 0)
        or (is_price_negative(line) and line.product is not None and line.product.id in products)
        for line in lines
    )
    total = total_amount(record)
    return bool(sold) and is_taken_back and total is not None and total <= 0


def total_amount(record: records.Order) -> Decimal | None:
    """What is to be paid, with discounts and VAT; None where the record does not say."""
    totals = record.calculated_totals
    return None if totals is None else totals.total_amount_incl_discounts_and_vat


def is_price_negative(line: records.Line) -> bool:
    """Whether the line's price is below zero, at whatever moment it was noted."""
    prices = (
        line.price_at_order_per_item_vat_excluded,
        line.price_at_invoice_per_item_vat_excluded,
        line.price_at_export_per_item_vat_excluded,
    )
    return any(price is not None and price < 0 for price in prices)


def states_all_seats(record: records.Order) -> bool:
    """Whether the record says who has a seat; else nobody may be taken as removed."""
    return record.lines is not None and not any(
        line.users is None
        and (line.database_relations is None or any(_is_place(relation) for relation in line.database_relations))
        for line in record.lines
    )


def trimmed(text: str | None) -> str:
    """A text without the space around it; empty for none."""
    return (text or "").strip()


def full_name(*parts: str | None) -> str:
    """The parts that are not empty, with one space between, and as people read them."""
    return decoded(" ".join(part or "" for part in parts))


def _people(record: records.Order) -> _People:
    # An add-on's line may leave out who its participant is.
    everybody = [record.first_user, *(user for line in record.lines or () for user in line.users or ())]
    country = record.customer.country if record.customer else None
    return _People(
        {user.id: user for user in everybody if user is not None and user.id is not None},
        (decoded(country.title) or trimmed(country.code)) if country else "",
    )


class _LineIds:
    """The ids of one order's lines, no two alike."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take(self, line: records.Line) -> str:
        """The line's own id; without one its product's, since its position changes when another line is removed."""
        name = line.id or f"product-{(line.product and line.product.id) or 'unknown'}"
        number = self._numbers.get(name, 1)
        line_id = name if number == 1 else f"{name}-{number}"
        while line_id in self._used:
            number += 1
            line_id = f"{name}-{number}"
        self._numbers[name] = number
        self._used.add(line_id)
        return line_id


def _parts(line: records.Line, line_id: str, people: _People, quantity: Decimal | None) -> Iterator[Line]:
    product = line.product or records.Product()
    places = _places(line, people, quantity)
    seats: dict[str | None, list[Seat]] = {}
    # Only the main product is a course; places that name none go with the first that does.
    main_course_id = next((place.course_id for place in places if place.course_id and product.is_main_product), None)
    for place in places:
        course_id = (place.course_id or main_course_id) if product.is_main_product else None
        seats.setdefault(course_id, []).append(place.seat)
    for course_id, taken in (seats or {None: []}).items():
        yield Line(
            id=line_id,
            title=trimmed(product.title) or trimmed(product.title_label),
            product=Product(product_id=product.id, course_id=course_id),
            seats=tuple(taken),
        )


def _places(line: records.Line, people: _People, quantity: Decimal | None) -> list[_Place]:
    places: dict[str, _Place] = {}
    users = {user.id: user for user in line.users or () if user.id is not None}
    unplaced = dict(users)
    for relation in line.database_relations or ():
        if _is_place(relation):
            user_id = relation.user_id or ""
            unplaced.pop(user_id, None)
            seat = _participant_seat(relation, users.get(user_id) or people.by_id.get(user_id), people.country)
            course_id = relation.course_id or (relation.course.id if relation.course else None)
            places.setdefault(seat.id, _Place(seat, course_id))
    for user_id, user in unplaced.items():
        places.setdefault(f"user-{user_id}", _Place(_named_seat(f"user-{user_id}", user, people.country)))
    anonymous = sum(user.id is None for user in line.users or ())
    return _as_many_as_bought(list(places.values()), anonymous, quantity)


def _is_place(relation: records.Relation) -> bool:
    is_participant = trimmed(relation.type).casefold() in {"participant", ""}
    return is_participant and (relation.participant_id is not None or relation.user_id is not None)


def _participant_seat(relation: records.Relation, user: records.User | None, country: str) -> Seat:
    parts = {"participant": relation.participant_id, "user": relation.user_id}
    seat_id = "-".join(f"{word}-{number}" for word, number in parts.items() if number is not None)
    if relation.user_id is None:
        seat = Seat(id=seat_id, hold="unnamed_seat")
    else:
        seat = _named_seat(seat_id, user or records.User(), country)
    hold, note = _hold_of(relation)
    changes: dict[str, Any] = {"hold": hold, "note": note} if hold else {}
    return seat.model_copy(update=changes | {"course_date_id": relation.coursedate_id, "undenied": _undenied(relation)})


def _named_seat(seat_id: str, user: records.User, country: str) -> Seat:
    email = trimmed_email(user.email)
    if not is_email(email):
        hold = "invalid_email" if email else "missing_email"
        return Seat(id=seat_id, hold=hold, note=address_note(hold, email))
    first_name, last_name = full_name(user.firstname), full_name(user.lastname)
    learner = Learner(email=email, first_name=first_name, last_name=last_name, address=_address(user, country))
    return Seat(id=seat_id, learner=learner)


def _address(user: records.User, country: str) -> Address | None:
    for given in (user.work_address, user.home_address, user.invoice_address):
        if given is None:
            continue
        lines = [decoded(line) for line in (given.address, given.address_2, given.address_3)]
        address = Address(
            line_1=lines[0],
            line_2=", ".join(line for line in lines[1:] if line),
            city=decoded(given.city),
            zip=decoded(given.zipcode),
        )
        if address != Address():
            return address.model_copy(update={"country": country})
    return None


def _as_many_as_bought(places: list[_Place], anonymous: int, quantity: Decimal | None) -> list[_Place]:
    """The named places, and one for everybody else who was paid for: `seat-N`, N counting the named ones too.

    A line with more people than its quantity keeps them all: a price may be for a group.
    """
    named = len(places)
    people = named + anonymous
    bought = Decimal(max(people, 1)) if quantity is None else quantity
    if bought > LARGEST_QUANTITY:
        return [*places, _nameless(named + 1, "invalid_quantity")]
    if bought < 0 or bought % 1 != 0 or (bought == 0 and people):
        held = [_Place(_held(place.seat, "invalid_quantity"), place.course_id) for place in places]
        return held or [_nameless(1, "invalid_quantity")]
    last = max(int(bought), people)
    return [*places, *(_nameless(number, "unnamed_seat") for number in range(named + 1, last + 1))]


def _nameless(number: int, hold: str) -> _Place:
    return _Place(Seat(id=f"seat-{number}", hold=hold))


def _held(seat: Seat, hold: str) -> Seat:
    return seat.model_copy(update={"hold": hold})


# Why a seat waits


def _hold_of(relation: records.Relation) -> tuple[str | None, str]:
    """Why the place is held, and what helps to settle it. A status that is absent or null says nothing."""
    dates = {_status(date) for date in _course_dates(relation)} - {None}
    places = {_status(participant) for participant in _participants(relation)} - {None}
    if COURSE_CANCELLED in dates:
        return "course_cancelled", ""
    if WAITING_LIST in places:
        return "waiting_list", ""
    unknown = [f"its course date has the status {each!r}" for each in sorted(dates - COURSE_DATE_STATUSES, key=str)]
    unknown += [f"its participant has the status {each!r}" for each in sorted(places - PARTICIPANT_STATUSES, key=str)]
    return ("unknown_status", f"Nobody has ruled on it: {'; '.join(unknown)}.") if unknown else (None, "")


def _undenied(relation: records.Relation) -> frozenset[str]:
    """The holds that no status of the place, or of its course date, stands against."""
    shows_date = any(_status(date) is not None for date in _course_dates(relation))
    shows_place = any(_status(participant) is not None for participant in _participants(relation))
    found = set() if shows_date else {"course_cancelled", "unknown_status"}
    return frozenset(found if shows_place else found | {"waiting_list", "unknown_status"})


def _status(record: records.CourseDate | records.Participant) -> int | str | None:
    return record.status_id if record.status is None else record.status


def _participants(relation: records.Relation) -> list[records.Participant]:
    """What is included of the relation's own participant. One that shows no id is known by its user, or by itself."""
    own = [relation.participant] if relation.participant else []
    listed = relation.participants or ()
    return [each for each in own if _is(relation.participant_id, each.id, each.participant_id, otherwise=True)] + [
        each
        for each in listed
        if _is(
            relation.participant_id,
            each.id,
            each.participant_id,
            otherwise=_is(relation.user_id, each.user_id, otherwise=len(listed) == 1),
        )
    ]


def _course_dates(relation: records.Relation) -> list[records.CourseDate]:
    """What is included of the relation's own course date, wherever it is written. A lone one without an id is it."""
    course = relation.course or records.Course()
    own = [relation.coursedate, *(each.coursedate for each in _participants(relation)), course.coursedate]
    wanted, listed = relation.coursedate_id, course.coursedates or ()
    return [each for each in own if each and _is(wanted, each.id, each.coursedate_id, otherwise=True)] + [
        each for each in listed if _is(wanted, each.id, each.coursedate_id, otherwise=len(listed) == 1)
    ]


def _is(wanted: str | None, *ids: str | None, otherwise: bool = False) -> bool:
    """Whether a record that may have its id in several places is the one wanted; `otherwise` if it has none."""
    known = [each for each in ids if each is not None]
    return wanted in known if known else otherwise


def _hold_shared_emails(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Hold the seats whose email several people share: LearningCart knows one person by an email, the last one named.

    A seat that waits for another reason overwrites nobody's name and holds nobody up.
    """
    names: defaultdict[str, set[str]] = defaultdict(set)
    for learner in (seat.learner for line in lines for seat in line.seats if seat.hold is None):
        if learner is not None and _name_key(learner):
            names[email_key(learner.email)].add(_name_key(learner))
    shared = {email for email, known in names.items() if len(known) > 1}
    return tuple(
        line.model_copy(update={"seats": tuple(_unless_shared(seat, shared) for seat in line.seats)}) for line in lines
    )


def _unless_shared(seat: Seat, shared: set[str]) -> Seat:
    is_shared = seat.hold is None and seat.learner is not None and email_key(seat.learner.email) in shared
    return _held(seat, "shared_email") if is_shared else seat


def _name_key(learner: Learner) -> str:
    return full_name(learner.first_name, learner.last_name).casefold()
