from __future__ import annotations

import json

import pytest

from worker.text.control_characters import CONTROL_CHARACTERS, JSON_CONTROLS


@pytest.mark.parametrize(
    "code", [0, 0x1B, 0x7F, 0x80, 0x9B, 0x061C, 0x200E, 0x2028, 0x202A, 0x202E, 0x2066, 0x2069, 0xD800]
)
def test_control_character_is_shown_as_an_escape_when_it_is_translated(code: int) -> None:
    shown = f"a{chr(code)}b".translate(CONTROL_CHARACTERS)
    assert shown.isprintable()
    assert shown.startswith("a\\")


def test_text_stays_itself_when_nothing_in_it_controls_anything() -> None:
    text = "Åse O\u2019Brien \U0001f469\u200d\U0001f393 \u05e9\u05dc\u05d5\u05dd\n\t"
    assert text.translate(CONTROL_CHARACTERS) == text


def test_json_stays_the_same_when_its_texts_are_translated() -> None:
    value = {"name": "\u202eevil\u2066 \ud800 \x7f\x9b31m"}
    assert json.loads(json.dumps(value, ensure_ascii=False).translate(JSON_CONTROLS)) == value
