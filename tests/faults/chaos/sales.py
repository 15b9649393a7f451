"""What is sold: the orders of the stream, the seats each must give access to, and what becomes of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

OFFERS: Final = """\
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]

# A bundle: two grants, two runs.
[[offer]]
source = "studiocart"
product_id = "1150"
grants = [{ price_id = 505, group_ids = [15, 16] }, { price_id = 506 }]

[[offer]]
source = "frontcore"
course_id = "77"
grants = [{ price_id = 601, group_ids = [12] }]
"""
_PRICES: Final = {"1107": (501,), "1150": (505, 506)}
_COURSE_PRICE: Final = 601
_FIRST_ORDER_ID: Final = {"studiocart": 10_001, "frontcore": 50_001}
_RETURNING_SHARE: Final = 0.25
_LATER_SECONDS: Final = (0.5, 15.0)


@dataclass(frozen=True)
class Seat:
    """One learner's access to one price, from one order: one comped order, whatever happens."""

    source: str
    order_id: str
    email: str
    price_id: int


@dataclass(frozen=True)
class Sale:
    """One order of the stream."""

    kind: str
    source: str
    order_id: str
    record: dict[str, Any]
    """The source's record; the sandbox fills in what is left out."""
    seats: tuple[Seat, ...]
    webhooks: int
    """How often it is announced; 0: polling has to find it."""
    later: dict[str, Any] | None = None
    """What is changed in the record later on."""
    later_seconds: float = 0.0
    is_withdrawn: bool = False
    """The later change takes the seats back."""
    is_paid_late: bool = False
    """Only the later change makes it a paid order."""


class Stream:
    """Makes sale after sale, the same for the same seed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._sold = dict.fromkeys(_FIRST_ORDER_ID, 0)
        self._learners = 0
        self._kinds = {
            "webhook": (34, self._plain),
            "duplicate webhooks": (14, self._duplicates),
            "found by polling": (12, self._unannounced),
            "bundle": (8, self._bundle),
            "participants": (16, self._participants),
            "paid later": (6, self._paid_later),
            "refunded": (6, self._refunded),
            "cancelled": (4, self._cancelled),
        }

    def next_sale(self) -> Sale:
        weights = [weight for weight, _ in self._kinds.values()]
        [kind] = self._rng.choices(list(self._kinds), weights)
        return self._kinds[kind][1](kind)

    def _plain(self, kind: str, **more: Any) -> Sale:
        return self._studiocart(kind, "1107", **{"webhooks": 1, **more})

    def _duplicates(self, kind: str) -> Sale:
        return self._plain(kind, webhooks=self._rng.randint(2, 5))

    def _unannounced(self, kind: str) -> Sale:
        return self._plain(kind, webhooks=0)

    def _bundle(self, kind: str) -> Sale:
        return self._studiocart(kind, "1150", webhooks=1)

    def _paid_later(self, kind: str) -> Sale:
        return self._plain(kind, status="pending-payment", later={"status": "paid"}, is_paid_late=True)

    def _refunded(self, kind: str) -> Sale:
        return self._plain(kind, later={"status": "refunded"}, is_withdrawn=True)

    def _cancelled(self, kind: str) -> Sale:
        return self._plain(kind, later={"status": "canceled"}, is_withdrawn=True)

    def _studiocart(
        self, kind: str, product_id: str, *, webhooks: int, status: str = "paid", later: Any = None, **more: Any
    ) -> Sale:
        order_id = self._order_id("studiocart")
        email = self._email()
        record = {
            "id": int(order_id),
            "customer_firstname": "Jane",
            "customer_lastname": "Doe",
            "customer_email": email,
            "product_id": product_id,
            "product_name": "Course",
            "status": status,
            "items": [{"product_name": "Course x 1", "quantity": 1}],
        }
        seats = tuple(Seat("studiocart", order_id, email, price) for price in _PRICES[product_id])
        later_seconds = self._rng.uniform(*_LATER_SECONDS) if later else 0.0
        return Sale(kind, "studiocart", order_id, record, seats, webhooks, later, later_seconds, **more)

    def _participants(self, kind: str) -> Sale:
        order_id = self._order_id("frontcore")
        emails = list(dict.fromkeys(self._email() for _ in range(self._rng.randint(1, 4))))
        line_id = int(order_id) * 10
        users = [
            {"id": line_id + number, "firstname": "Kari", "lastname": f"No{number}", "email": email}
            for number, email in enumerate(emails)
        ]
        places = [
            {
                "type": "participant",
                "participant_id": user["id"],
                "user_id": user["id"],
                "coursedate_id": 9,
                "course_id": 77,
            }
            for user in users
        ]
        line = {
            "id": line_id,
            "product": {"id": 8079, "title": "Course", "is_main_product": True},
            "quantity": len(users),
            "currency": {"title": "NOK"},
            "database_relations": places,
            "users": users,
        }
        record = {"id": int(order_id), "is_paid": True, "lines": [line]}
        seats = tuple(Seat("frontcore", order_id, email, _COURSE_PRICE) for email in emails)
        return Sale(kind, "frontcore", order_id, record, seats, webhooks=self._rng.choice([0, 1, 1, 2]))

    def _order_id(self, source: str) -> str:
        self._sold[source] += 1
        return str(_FIRST_ORDER_ID[source] + self._sold[source] - 1)

    def _email(self) -> str:
        """A new learner's, or that of one of the last, who then has several runs in one lane."""
        if self._learners > 5 and self._rng.random() < _RETURNING_SHARE:
            number = self._learners - self._rng.randrange(min(self._learners, 30))
        else:
            self._learners += 1
            number = self._learners
        return f"learner-{number}@example.test"
