from __future__ import annotations

import pytest
from pydantic import ValidationError

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
