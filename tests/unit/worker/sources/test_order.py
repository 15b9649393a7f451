from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from pydantic import ValidationError

from worker.clients.frontcore import models as frontcore_models
from worker.clients.studiocart import models as studiocart_models
from worker.clients.threedcart import models as threedcart_models
from worker.sources import frontcore, studiocart, threedcart
from worker.sources.order import Learner, Line, Order, Payment, Seat, email_key, is_email


@pytest.mark.parametrize(
    "text", ["a@b.co", "Jane.O'Brien+x@sub.example.com", "ø@møbel.no", "a@b.museum", "_@x-y.io", "x" * 200 + "@e.com"]
)
def test_text_can_be_an_email(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "@", "a@b", "a@b.", "@b.co", "a b@c.de", "a@b@c.de", "a@b..co", "a..b@c.de", "a@b.co ", "<a@b.co>"),
        *("a@b,co", "a@b.co;c@d.co", "a@b.co\n", "x" * 250 + "@e.com", "a@b.c(o)"),
    ],
)
def test_text_cannot_be_an_email(text: str) -> None:
    assert not is_email(text)


def test_emails_are_one_person_when_only_case_and_spaces_differ() -> None:
    assert email_key(" Jane@Example.COM\n") == email_key("jane@example.com") == "jane@example.com"
    assert email_key("jane@example.com") != email_key("jane+1@example.com")


def test_order_is_a_value_that_refuses_what_it_does_not_know() -> None:
    order = Order(source="studiocart", id="1", payment=Payment.PAID, lines=(Line(id="1", seats=(Seat(id="buyer"),)),))
    assert Order.model_validate(order.model_dump(mode="json")) == order
    with pytest.raises(ValidationError):
        order.id = "2"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Learner.model_validate({"email": "a@b.co", "password": "x"})


def test_raw_record_is_not_shown_when_an_order_is() -> None:
    assert "planted" not in repr(Order(source="studiocart", id="1", payment=Payment.PAID, raw={"x": "planted"}))


UNTYPED = ["mailto:jane@example.no", "ja\u200bne@example.no", "jane\ufeff@example.no", "jane@example.no\ufffd"]


def buyer_seat(source: str, email: str) -> Seat:
    """The first seat of an order that a source reads with this address in it."""
    if source == "studiocart":
        record: dict[str, Any] = {"id": 1, "status": "paid", "customer_email": email, "items": [{"product_name": "A"}]}
        return studiocart.to_order(studiocart_models.Order.model_validate(record)).lines[0].seats[0]
    if source == "threedcart":
        record = {"OrderID": 1, "BillingEmail": email, "OrderItemList": [{"CatalogID": 1, "ItemQuantity": 1}]}
        return threedcart.to_order(threedcart_models.Order.model_validate(record), zone=UTC).lines[0].seats[0]
    relation = {"type": "participant", "participant_id": 1, "user_id": 1}
    lines = [{"id": 1, "database_relations": [relation], "users": [{"id": 1, "email": email}]}]
    return frontcore.to_order(frontcore_models.Order.model_validate({"id": 1, "lines": lines})).lines[0].seats[0]


@pytest.mark.parametrize("source", ["studiocart", "frontcore", "threedcart"])
@pytest.mark.parametrize("email", UNTYPED)
def test_a_seat_is_held_with_the_place_of_what_nobody_can_type(source: str, email: str) -> None:
    seat = buyer_seat(source, email)
    assert (seat.learner, seat.hold) == (None, "invalid_email")
    assert "at character" in seat.note
    assert "jane" not in seat.note


@pytest.mark.parametrize("source", ["studiocart", "frontcore", "threedcart"])
def test_a_learner_is_known_without_what_nobody_sees_at_the_ends(source: str) -> None:
    seat = buyer_seat(source, "\ufeff Jane@Example.no\u00a0\u200b")
    assert seat.learner is not None
    assert (seat.learner.email, seat.hold) == ("Jane@Example.no", None)
