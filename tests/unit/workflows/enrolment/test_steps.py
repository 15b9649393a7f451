"""A learner's address as LearningCart's fields."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.fakes.storefront import JANE
from worker.clients.learningcart.countries import country_name
from worker.sources.order import Address, Learner
from workflows.enrolment.steps import customer_fields

text = st.text(max_size=20) | st.sampled_from(["NO", "Norge", "USA", "U.S.A.", "Canada", "ca", "Oslo", "  ", "AU"])
addresses = st.builds(Address, line_1=text, line_2=text, city=text, state=text, province=text, zip=text, country=text)


def sent(address: Address | None) -> dict[str, str]:
    return customer_fields(JANE.model_copy(update={"address": address})).parameters()


NAME = {"Email": JANE.email, "FirstName": "Jane", "LastName": "Doe"}


def test_only_the_name_is_sent_when_there_is_no_address() -> None:
    assert sent(None) == sent(Address()) == sent(Address(line_1="  ")) == NAME


def test_norwegian_address_is_sent_under_the_vendor_s_names_when_it_is_whole() -> None:
    address = Address(line_1="Veien 2", line_2="H0101", city="Oslo", zip="3120", province="Oslo", country="NO")
    assert sent(address) == NAME | {
        "Address1": "Veien 2",
        "Address2": "H0101",
        "City": "Oslo",
        "Province": "Oslo",
        "Zip": "3120",
        "CountryName": "Norway",
    }


@pytest.mark.parametrize(
    ("country", "state", "province", "fields"),
    [
        ("US", "California", "", {"State": "CA"}),
        ("US", "ca", "", {"State": "CA"}),
        ("US", "US-CA", "", {"State": "CA"}),
        ("USA", "", "New York", {"State": "NY"}),
        ("Canada", "", "québec", {"State": "QC"}),
        ("AU", "New South Wales", "", {"State": "NSW"}),
        ("US", "Jefferson", "", {"State": "Jefferson"}),
        ("Germany", "Bayern", "", {"Province": "Bayern"}),
        ("Spain", "Madrid", "Comunidad de Madrid", {"Province": "Comunidad de Madrid"}),
        ("", "Bayern", "Oberbayern", {"State": "Bayern", "Province": "Oberbayern"}),
    ],
)
def test_part_of_a_country_has_its_place_when_the_country_is_known(
    country: str, state: str, province: str, fields: dict[str, str]
) -> None:
    found = sent(Address(country=country, state=state, province=province))
    assert {name: value for name, value in found.items() if name in {"State", "Province"}} == fields


@settings(max_examples=60, deadline=None, derandomize=True)
@given(addresses, text, text)
def test_nothing_empty_or_invented_is_sent_whatever_the_address(address: Address, first: str, last: str) -> None:
    fields = customer_fields(Learner(email="kari@example.test", first_name=first, last_name=last, address=address))
    found = fields.parameters()
    assert all(value and value == value.strip() for value in found.values())
    assert "Password" not in found
    assert found["Email"] == "kari@example.test"
    written = {each.strip() for each in (*address.model_dump().values(), first, last)}
    free = {"Address1", "Address2", "City", "Zip", "Province", "FirstName", "LastName"}
    assert {found[name] for name in free & found.keys()} <= written
    assert not ("State" in found and "Province" in found) or country_name(address.country) == address.country.strip()
