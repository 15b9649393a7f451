from __future__ import annotations

import pytest

from worker.text.search_text import holds, needles, search_text

FOUND = [
    ("Jürgen Müller", "muller"),
    ("Jürgen Müller", "MUELLER"),
    ("Jurgen Mu\u0308ller", "m\u00fcller jurgen"),
    ("Jurgen Mueller", "Müller"),
    ("Søren Ågård", "soren agard"),
    ("Søren Ågård", "soeren aagaard"),
    ("Ida Straße", "STRASSE"),
    ("Олена Бондаренко", "БОНДАР"),
    ("Νίκος Παπαδόπουλος", "παπαδοπουλος"),
    ("小林太郎", "太郎"),
    ("김민준", "민준"),
    ("O\u2019Neill", "o'ne"),
    ("Jane\u200bDoe", "janedoe"),
    ("Wei Li", "li"),
    ("100%_sure", "%_s"),
]
MISSED = [("Jane Doe", "jane smith"), ("Charlie", "li"), ("小林", "太郎"), ("", "jane"), ("Jane", "j ne")]


@pytest.mark.parametrize(("text", "wanted"), FOUND)
def test_a_word_is_found_when_it_is_written_otherwise(text: str, wanted: str) -> None:
    assert needles(wanted)
    assert holds(search_text([text]), needles(wanted))


@pytest.mark.parametrize(("text", "wanted"), MISSED)
def test_a_text_is_not_meant_when_a_word_is_missing(text: str, wanted: str) -> None:
    assert not holds(search_text([text]), needles(wanted))


def test_a_text_is_ascii_and_holds_each_word_once_when_it_is_made() -> None:
    found = search_text(["Jane  Doe", None, "", "jane\tdoe", "DOE@X.example", "Ж\x00"])
    assert found == " jane doe doe@x.example z436 "
    assert search_text([None, " "]) == ""


def test_nothing_is_looked_for_when_nothing_is_typed() -> None:
    assert needles(" \u200b ") == []
