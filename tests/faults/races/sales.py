"""What a trial sells: the orders, and the seats that each must come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from worker.sandbox import Sandbox

OFFERS = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]

[[offer]]
source = "studiocart"
product_id = "1130"
grants = [{ price_id = 601, group_ids = [21, 22] }, { price_id = 602 }]

[[offer]]
source = "studiocart"
product_name = "Fire Safety Refresher"
grants = [{ price_id = 801, group_ids = [41] }]

[[offer]]
source = "frontcore"
course_id = "22353"
grants = [{ price_id = 701, group_ids = [31] }]
"""
"""A course, a bundle of two, an order bump, and a course whose every participant has a seat."""


@dataclass(frozen=True)
class SoldSeat:
    """One learner × one grant: what must become one run and one comped order."""

    seat_id: str
    email: str
    price_id: int


@dataclass(frozen=True)
class Sale:
    """One order in a shop."""

    source: str
    order_id: str
    seats: tuple[SoldSeat, ...]


class Shops:
    """Sells in the sandbox's shops, under ids that were never given before."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._last_id = 7000
        self._paid = True

    def sell(self, rng: Random, seed: int, *, paid: bool = True) -> list[Sale]:
        """One of five kinds of purchase, by `rng`, for learners who are new by `seed`."""
        self._paid = paid
        kinds: tuple[Callable[[str], Iterator[Sale]], ...] = (
            self._one_seat,
            self._bundle,
            self._two_orders,
            self._with_bump,
            self._two_participants,
        )
        return list(rng.choice(kinds)(f"learner-{seed}"))

    def pay(self, sale: Sale) -> None:
        """Have an order paid that was not."""
        if sale.source == "frontcore":
            self._sandbox.frontcore.update_order(int(sale.order_id), is_paid=True)
        else:
            self._sandbox.studiocart.update_order(int(sale.order_id), status="paid")

    def _one_seat(self, name: str) -> Iterator[Sale]:
        yield self._sell_studiocart(f"{name}@example.test", "1107", 501)

    def _bundle(self, name: str) -> Iterator[Sale]:
        yield self._sell_studiocart(f"{name}@example.test", "1130", 601, 602)

    def _two_orders(self, name: str) -> Iterator[Sale]:
        """Two orders of one learner, whose email is spelled otherwise the second time."""
        yield self._sell_studiocart(f"{name}@example.test", "1107", 501)
        yield self._sell_studiocart(f"{name.upper()}@Example.test", "1107", 501)

    def _with_bump(self, name: str) -> Iterator[Sale]:
        yield self._sell_studiocart(f"{name}@example.test", "1107", 501, 801, bump="Fire Safety Refresher x 1")

    def _two_participants(self, name: str) -> Iterator[Sale]:
        order_id = self._next_id()
        people = [(order_id * 10 + number, f"{name}-{number}@example.test") for number in (1, 2)]
        line = {
            "id": order_id * 10,
            "currency": {"title": "NOK"},
            "quantity": len(people),
            "product": {"id": 8079, "title": "Learn REST API", "is_main_product": True},
            "database_relations": [
                {"type": "participant", "participant_id": person_id, "user_id": person_id, "course_id": 22353}
                for person_id, _ in people
            ],
            "users": [
                {"id": person_id, "firstname": "Lars", "lastname": f"Larsen {person_id}", "email": email}
                for person_id, email in people
            ],
        }
        self._sandbox.frontcore.add_order({"id": order_id, "is_paid": self._paid, "lines": [line]})
        seats = [SoldSeat(f"participant-{person_id}-user-{person_id}", email, 701) for person_id, email in people]
        yield Sale("frontcore", str(order_id), tuple(seats))

    def _sell_studiocart(self, email: str, product_id: str, *price_ids: int, bump: str | None = None) -> Sale:
        order_id = self._next_id()
        names = ["Course x 1", *([bump] if bump else [])]
        order: dict[str, Any] = {
            "id": order_id,
            "status": "paid" if self._paid else "pending-payment",
            "customer_email": email,
            "product_id": product_id,
            "product_name": "Course",
            "items": [{"product_name": name, "quantity": 1} for name in names],
        }
        self._sandbox.studiocart.add_order(order)
        seats = tuple(SoldSeat("buyer", email, price_id) for price_id in price_ids)
        return Sale("studiocart", str(order_id), seats)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id
