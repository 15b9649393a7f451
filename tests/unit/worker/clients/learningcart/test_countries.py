"""Countries' names in English, from whatever a shop wrote."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients.learningcart.countries import country_name

text = st.text(max_size=20) | st.sampled_from(["NO", "Norge", "USA", "U.S.A.", "Canada", "ca", "Oslo", "  ", "AU"])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Norway", "Norway"),
        ("norge", "Norway"),
        ("NOR", "Norway"),
        (" no ", "Norway"),
        ("US", "United States"),
        ("U.S.A.", "United States"),
        ("United States of America", "United States"),
        ("uk", "United Kingdom"),
        ("GB", "United Kingdom"),
        ("England", "United Kingdom"),
        ("Great  Britain", "United Kingdom"),
        ("KR", "South Korea"),
        ("Korea, Republic of", "South Korea"),
        ("Russian Federation", "Russia"),
        ("Österreich", "Austria"),
        ("Czech Republic", "Czechia"),
        ("Middle-earth", "Middle-earth"),
        ("", ""),
    ],
)
def test_country_is_named_in_english_when_it_is_recognised(written: str, name: str) -> None:
    assert country_name(written) == name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text)
def test_name_of_a_country_is_its_own_name_when_read_again(written: str) -> None:
    assert country_name(country_name(written)) == country_name(written)
