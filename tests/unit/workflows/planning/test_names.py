"""`workflows.planning.names`: whether two names can be one person's."""

from __future__ import annotations

import pytest

from worker.sources.order import Learner
from workflows.planning.names import is_known_name, is_same_name, name_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jane Doe", "jane doe"),
        ("Jane Doe", "DOE, Jane"),
        ("Jane Doe", "Jane Mary Doe"),
        ("Jane Doe", "Doe Jane Mary Anne"),
        ("José Núñez", "Jose Nunez"),
        ("Jose\u0301 Nu\u0301n\u0303ez", "José Núñez"),
        ("Bjørn Åsen", "Bjorn Asen"),
        ("Bjørn Åsen", "Bjoern Aasen"),
        ("Jürgen Groß", "Juergen Gross"),
        ("Anne-Marie Hansen", "Anne Marie Hansen"),
        ("Anne-Marie Hansen", "Annemarie Hansen"),
        ("O'Neil Pat", "Pat O\u2019Neil"),
        ("Ana Mu&ntilde;oz", "Ana Muñoz"),
        ("P. Hansen", "Per Hansen"),
        ("Per J Hansen", "Per Johan Hansen"),
        ("Per", "Per Hansen"),
        ("", "Per Hansen"),
        ("-", "Per Hansen"),
        ("王 小明", "小明 王"),
        ("Иван Петров", "ПЕТРОВ Иван"),
    ],
)
def test_two_names_can_be_one_persons(one: str, other: str) -> None:
    assert is_same_name(one, other)
    assert is_same_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Per En", "Pål To"),
        ("Jane Doe", "John Doe"),
        ("Jane Doe", "Jane Smith"),
        ("Anne Hansen", "Anna Hansen"),
        ("Per Hansen", "Per Johansen"),
        ("P. Hansen", "Kari Hansen"),
        ("Per Per", "Per Hansen"),
        ("Kari Kontakt", "Per En"),
        ("王小明", "王大明"),
    ],
)
def test_two_names_are_two_peoples(one: str, other: str) -> None:
    assert not is_same_name(one, other)
    assert not is_same_name(other, one)


def test_a_name_is_known_when_it_can_be_any_of_those_known() -> None:
    assert is_known_name("To, Pål", ["Per En", "Pål To"])
    assert not is_known_name("Espen Tre", ["Per En", "Pål To"])
    assert not is_known_name("Espen Tre", [])


def test_a_learners_name_is_whole() -> None:
    assert name_of(Learner(email="a@b.no", first_name=" Per ", last_name="")) == "Per"
