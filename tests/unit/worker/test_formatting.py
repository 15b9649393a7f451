from __future__ import annotations

import pytest

from worker.formatting import counted, counted_days, money, plain_error


@pytest.mark.parametrize(
    ("minor_units", "currency", "expected_text"),
    [
        (400, "EUR", "4.00 EUR"),
        (120_450, "USD", "1,204.50 USD"),
        (500, "JPY", "500 JPY"),
        (1_500, "KWD", "1.500 KWD"),
        (-5, "NOK", "-0.05 NOK"),
        (0, None, "0.00"),
    ],
)
def test_an_amount_is_told_in_its_currency_s_digits(minor_units: int, currency: str | None, expected_text: str) -> None:
    assert money(minor_units, currency) == expected_text


def test_one_is_told_apart_when_things_are_counted() -> None:
    assert [counted(number, "order") for number in (0, 1, 2_000)] == ["0 orders", "1 order", "2,000 orders"]
    assert [counted_days(number) for number in (0.5, 1.0, 90.0)] == ["0.5 days", "1 day", "90 days"]


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("NotFoundError: studiocart answered HTTP 404", "studiocart answered HTTP 404"),
        ("InvalidRequestError: [erased]", "[erased]"),
        ("The source names nobody: ask", "The source names nobody: ask"),
        ("TypeError in Cartbridge itself", "TypeError in Cartbridge itself"),
        ("ServerError: ", "ServerError: "),
        (None, ""),
    ],
)
def test_an_error_is_told_without_its_class_when_people_read_it(kept: str | None, shown: str) -> None:
    assert plain_error(kept) == shown
