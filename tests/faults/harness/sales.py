"""What is sold: the sources' records, the seats that each must come to, and what becomes of it afterwards.

One generator for all who sell. It knows no shop: whoever sells puts the records into one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final

from tests.faults.harness.offers import (
    BUMP_NAME,
    BUMP_PRICE_ID,
    BUNDLE,
    COURSE,
    FRONTCORE_COURSE_ID,
    FRONTCORE_PRICE_ID,
    GRANTS,
    SOURCE,
)
from tests.faults.judging.sold import Seat

_RETURNING_SHARE: Final = 0.25
_LATER_SECONDS: Final = (0.5, 15.0)


@dataclass(frozen=True)
class Sale:
    """One order."""

    kind: str
    source: str
    order_id: str
    record: dict[str, Any]
    """The source's record; the sandbox fills in what is left out."""
    seats: tuple[Seat, ...]
    webhooks: int = 1
    """How often it is announced; 0: polling has to find it."""
    later: dict[str, Any] | None = None
    """What is changed in the record later on."""
    later_seconds: float = 0.0
    is_withdrawn: bool = False
    """The later change takes the seats back."""
    is_paid_late: bool = False
    """Only the later change makes it a paid order."""


def studiocart_record(
    email: str, *, product_id: str = COURSE, status: str = "paid", quantity: int = 1, bump: str | None = None
) -> dict[str, Any]:
    """A Studiocart order of one line, with a bump where one is named; its items tell names only."""
    items = [{"product_name": f"Course x {quantity}", "quantity": quantity}]
    if bump is not None:
        items.append({"product_name": f"{bump} x 1", "quantity": 1})
    return {
        "customer_firstname": "Jane",
        "customer_lastname": "Doe",
        "customer_email": email,
        "product_id": product_id,
        "product_name": "Course",
        "status": status,
        "order_amount": 500,
        "currency": "INR",
        "items": items,
    }


def seats_of(order_id: str, email: str, product_id: str, *, source: str = SOURCE) -> tuple[Seat, ...]:
    """The buyer's seats of a product, one a grant."""
    return tuple(Seat(source, order_id, email, (price,), product_id, "buyer") for price in GRANTS[product_id])


class Generator:
    """Makes sale after sale under ids that were never given before, the same for the same chance."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ids = {SOURCE: count(10_001), "frontcore": count(50_001)}

    def course(self, kind: str, email: str, **more: Any) -> Sale:
        """One seat of one course."""
        return self._studiocart(kind, email, COURSE, **more)

    def bundle(self, kind: str, email: str, **more: Any) -> Sale:
        """One product of two grants."""
        return self._studiocart(kind, email, BUNDLE, **more)

    def with_bump(self, kind: str, email: str, **more: Any) -> Sale:
        """A course, and an order bump that is known by its name."""
        return self._studiocart(kind, email, COURSE, bump=BUMP_NAME, **more)

    def participants(self, kind: str, emails: Sequence[str], *, is_paid_late: bool = False, **more: Any) -> Sale:
        """An order of Frontcore's whose every participant has a seat."""
        order_id = next(self._ids["frontcore"])
        people = [(order_id * 10 + number, email) for number, email in enumerate(emails)]
        line = {
            "id": order_id * 10,
            "product": {"id": 8079, "title": "Course", "is_main_product": True},
            "quantity": len(people),
            "currency": {"title": "NOK"},
            "database_relations": [
                {
                    "type": "participant",
                    "participant_id": person_id,
                    "user_id": person_id,
                    "coursedate_id": 9,
                    "course_id": FRONTCORE_COURSE_ID,
                }
                for person_id, _ in people
            ],
            "users": [
                {"id": person_id, "firstname": "Kari", "lastname": f"No{number}", "email": email}
                for number, (person_id, email) in enumerate(people)
            ],
        }
        record = {"id": order_id, "is_paid": not is_paid_late, "lines": [line]}
        seats = tuple(
            Seat(
                "frontcore",
                str(order_id),
                email,
                (FRONTCORE_PRICE_ID,),
                seat_id=f"participant-{person_id}-user-{person_id}",
            )
            for person_id, email in people
        )
        later = {"is_paid": True} if is_paid_late else None
        return Sale(kind, "frontcore", str(order_id), record, seats, later=later, is_paid_late=is_paid_late, **more)

    def _studiocart(
        self,
        kind: str,
        email: str,
        product_id: str,
        *,
        bump: str | None = None,
        is_paid_late: bool = False,
        becomes: str | None = None,
        **more: Any,
    ) -> Sale:
        """`becomes`: the status in which the order is withdrawn later on."""
        order_id = str(next(self._ids[SOURCE]))
        status, after = ("pending-payment", "paid") if is_paid_late else ("paid", becomes)
        record = {"id": int(order_id), **studiocart_record(email, product_id=product_id, status=status, bump=bump)}
        seats = seats_of(order_id, email, product_id)
        if bump is not None:
            seats += (Seat(SOURCE, order_id, email, (BUMP_PRICE_ID,), seat_id="buyer"),)
        return Sale(
            kind,
            SOURCE,
            order_id,
            record,
            seats,
            later=None if after is None else {"status": after},
            later_seconds=self._rng.uniform(*_LATER_SECONDS) if after is not None else 0.0,
            is_withdrawn=becomes is not None,
            is_paid_late=is_paid_late,
            **more,
        )


class Purchases:
    """One of five kinds of purchase at a time, each of one order or two."""

    def __init__(self) -> None:
        self._make = Generator(Random(0))

    def next_purchase(self, rng: Random, name: str, *, is_paid_late: bool) -> list[Sale]:
        """A purchase of learners who are new by this name."""
        email, more = f"{name}@example.test", {"is_paid_late": is_paid_late}
        kinds: tuple[Callable[[], list[Sale]], ...] = (
            lambda: [self._make.course("one seat", email, **more)],
            lambda: [self._make.bundle("bundle", email, **more)],
            # Two orders of one learner, whose email is spelled otherwise the second time.
            lambda: [self._make.course("two orders", each, **more) for each in (email, email.swapcase())],
            lambda: [self._make.with_bump("bump", email, **more)],
            lambda: [self._make.participants("participants", [f"{name}-{n}@example.test" for n in (1, 2)], **more)],
        )
        return rng.choice(kinds)()


class Stream:
    """Sale after sale, to new learners and to some who have bought before."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._make = make = Generator(rng)
        self._learners = 0
        self._kinds: dict[str, tuple[int, Callable[[str], Sale]]] = {
            "webhook": (34, lambda kind: make.course(kind, self._email())),
            "duplicate webhooks": (14, lambda kind: make.course(kind, self._email(), webhooks=rng.randint(2, 5))),
            "found by polling": (12, lambda kind: make.course(kind, self._email(), webhooks=0)),
            "bundle": (8, lambda kind: make.bundle(kind, self._email())),
            "participants": (16, self._participants),
            "paid later": (6, lambda kind: make.course(kind, self._email(), is_paid_late=True)),
            "refunded": (6, lambda kind: make.course(kind, self._email(), becomes="refunded")),
            "cancelled": (4, lambda kind: make.course(kind, self._email(), becomes="canceled")),
        }

    def next_sale(self) -> Sale:
        [kind] = self._rng.choices(list(self._kinds), [weight for weight, _ in self._kinds.values()])
        return self._kinds[kind][1](kind)

    def _participants(self, kind: str) -> Sale:
        emails = list(dict.fromkeys(self._email() for _ in range(self._rng.randint(1, 4))))
        return self._make.participants(kind, emails, webhooks=self._rng.choice([0, 1, 1, 2]))

    def _email(self) -> str:
        """A new learner's, or that of one of the last, who then has several runs in one lane."""
        if self._learners > 5 and self._rng.random() < _RETURNING_SHARE:
            number = self._learners - self._rng.randrange(min(self._learners, 30))
        else:
            self._learners += 1
            number = self._learners
        return f"learner-{number}@example.test"
