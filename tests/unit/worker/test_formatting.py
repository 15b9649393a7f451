from __future__ import annotations

import pytest

from worker.formatting import money


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
