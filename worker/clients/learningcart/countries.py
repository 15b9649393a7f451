"""Countries as they are sent to LearningCart: names in English, states and provinces in their places.

How LearningCart spells countries, and which of them it gives a state, is not documented. Both are guesses here: ISO
3166's common English names, and states for the United States, Canada and Australia alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import pycountry

from worker.text.normal_form import normal_form

COUNTRIES_WITH_STATES: Final = frozenset({"US", "CA", "AU"})
"""Elsewhere the part of a country goes into `Province` (a guess)."""

_SPELLINGS: Final = {
    "BN": "Brunei",
    "CD": "Democratic Republic of the Congo",
    "FK": "Falkland Islands",
    "FM": "Micronesia",
    "PS": "Palestine",
    "RU": "Russia",
    "TR": "Turkey",
    "VA": "Vatican City",
    "VG": "British Virgin Islands",
    "VI": "U.S. Virgin Islands",
}
"""Names in use where ISO's is turned round or newer than most lists (a guess)."""
_ALSO_CALLED: Final = {
    "america": "US",
    "czech republic": "CZ",
    "danmark": "DK",
    "deutschland": "DE",
    "eire": "IE",
    "england": "GB",
    "finland": "FI",
    "great britain": "GB",
    "holland": "NL",
    "ivory coast": "CI",
    "norge": "NO",
    "noreg": "NO",
    "northern ireland": "GB",
    "schweiz": "CH",
    "scotland": "GB",
    "suomi": "FI",
    "sverige": "SE",
    "the netherlands": "NL",
    "uk": "GB",
    "united states of america": "US",
    "usa": "US",
    "wales": "GB",
    "österreich": "AT",
}
"""What people and shops write that ISO does not list; compared as `_plain` has it."""


@dataclass(frozen=True)
class _Country:
    code: str
    name: str


def country_name(written: str) -> str:
    """A country's common English name from its name or code, in English or one of a few other spellings.

    What is not recognised stays as written, trimmed: a person can read it.
    """
    country = _country(_plain(written))
    return written.strip() if country is None else country.name


def part_of_country(country_as_written: str, state: str, province: str) -> tuple[str, str]:
    """The state and the province, one of them empty; both as written, trimmed, where the country is not recognised."""
    state, province = state.strip(), province.strip()
    country = _country(_plain(country_as_written))
    if country is None:
        return state, province
    if country.code in COUNTRIES_WITH_STATES:
        written = state or province
        return _states(country.code).get(_plain(written), written), ""
    return "", province or state


def _plain(text: str) -> str:
    """A name without what people leave out: dots, accents, case and further space."""
    letters = (each for each in normal_form("NFKD", text) if not unicodedata.combining(each))
    return " ".join("".join(letters).replace(".", "").casefold().split())


@cache
def _countries() -> dict[str, _Country]:
    """Every country by each of its names and codes."""
    countries: dict[str, _Country] = {}
    by_code: dict[str, _Country] = {}
    for record in pycountry.countries:
        common_name = getattr(record, "common_name", record.name)
        country = _Country(record.alpha_2, _SPELLINGS.get(record.alpha_2, common_name))
        by_code[country.code] = country
        names = (record.name, common_name, getattr(record, "official_name", ""), country.name)
        countries |= {_plain(name): country for name in (*names, record.alpha_2, record.alpha_3) if name}
    return countries | {_plain(name): by_code[code] for name, code in _ALSO_CALLED.items()}


def _country(plain: str) -> _Country | None:
    return _countries().get(plain)


@cache
def _states(country_code: str) -> dict[str, str]:
    """The short codes of a country's states (`CA`, `NSW`) by name and by code."""
    return dict(_named_states(country_code))


def _named_states(country_code: str) -> Iterator[tuple[str, str]]:
    for record in pycountry.subdivisions:
        if record.country_code != country_code:
            continue
        code = record.code.removeprefix(f"{country_code}-")
        for name in (record.name, code, record.code):
            yield _plain(name), code
