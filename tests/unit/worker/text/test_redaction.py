"""`worker.text.redaction`: a known secret shows in no spelling, an unknown one not where its name gives it away."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.text.redaction import MASK, SecretRegistry, redact

SECRET = "p&ss w\"rd<é'/+%\\1"
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        quote(quote(SECRET, safe=""), safe=""),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        html.escape(SECRET),
        html.escape(SECRET, quote=False),
        repr(SECRET)[1:-1],
    ],
)
def test_a_known_secret_is_masked_when_it_is_spelled_another_way(spelling: str) -> None:
    assert redact(f"before {spelling} after", [SECRET]) == f"before {MASK} after"


@given(st.text(min_size=4, max_size=30), st.text(max_size=30))
def test_no_secret_survives_when_text_surrounds_it(secret: str, around: str) -> None:
    shown = redact(f"{around}{secret}{around}", [secret])
    assert secret not in shown or secret in MASK * 3 or secret in around


def test_the_longest_secret_is_masked_first_when_one_begins_another() -> None:
    assert redact("abcdef abcd", ["abcd", "abcdef"]) == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /requestToken?username=a&password=x1&y=2", "GET /requestToken?username=a&password=***&y=2"),
        ("AuthenticationToken=1-2&a=b", "AuthenticationToken=***&a=b"),
        ("?token=abc#x", "?token=***"),
        ("returnUrl=%3Ftoken%3Dabc", "returnUrl=%3Ftoken%3D***"),
        ("studiocart_secret=k api_key=q private-key=r", "studiocart_secret=*** api_key=*** private-key=***"),
        ('{"Password": "a\\"b", "n": 1}', '{"Password": "***", "n": 1}'),
        ("{'Authentication Token': 'abc'}", "{'Authentication Token': '***'}"),
        ('{\\"password\\": \\"abc\\"}', '{\\"password\\": \\"***\\"}'),
        (f"The token '{GUID}' has expired", "The token '***' has expired"),
        (f"Token {GUID.replace('-', '').upper()}", "Token ***"),
        (f"order {GUID}", f"order {GUID}"),
        ("next_page_token=7 is no secret", "next_page_token=7 is no secret"),
        ('{"password": null}', '{"password": null}'),
        ('"token":"' + "\\\\" * 50, '"token":"***"'),
        ('{"token": "cut in the midd', '{"token": "***"'),
        ('{\\"token\\": \\"a\\\\\\"b\\", \\"n\\": 1}', '{\\"token\\": \\"***\\", \\"n\\": 1}'),
        ("a-" * 40 + "x-api-key=q", "a-" * 40 + "x-api-key=***"),
    ],
)
def test_an_unknown_secret_is_masked_when_its_name_gives_it_away(text: str, shown: str) -> None:
    assert redact(text, []) == shown


def test_a_value_is_not_registered_when_it_is_too_short() -> None:
    registry = SecretRegistry(["abc", ""])
    assert registry.values() == ()
    assert registry.redact("abc") == "abc"
    assert redact("abc", ["abc"]) == "abc"


def test_a_book_shows_no_secret_when_printed() -> None:
    registry = SecretRegistry(["hunter2000"])
    assert "hunter" not in repr(registry)
    assert registry.redact("it is hunter2000") == "it is ***"


def test_values_come_longest_first_when_asked_for() -> None:
    registry = SecretRegistry(["abcd"])
    registry.add("abcdef")
    registry.add("abcd")
    registry.add("abcdefgh", rotating=True)
    assert registry.values() == ("abcdefgh", "abcdef", "abcd")


def test_only_the_latest_tokens_are_kept_when_many_rotate() -> None:
    registry = SecretRegistry(["password"], rotating_limit=2)
    for number in range(4):
        registry.add(f"token-{number}", rotating=True)
    registry.add("token-2", rotating=True)
    registry.add("token-9", rotating=True)
    registry.add("password", rotating=True)
    assert set(registry.values()) == {"password", "token-2", "token-9"}
    assert registry.redact("token-1 token-2") == "token-1 ***"


def test_half_a_surrogate_pair_is_masked_when_it_is_in_a_secret() -> None:
    assert redact("x abc\ud800d y", ["abc\ud800d"]) == "x *** y"


def test_every_secret_is_masked_when_a_text_is_very_long() -> None:
    text = "".join(f"line {number} token=abc{number} known-secret\n" for number in range(5_000))
    shown = redact(text, ["known-secret"])
    assert "abc" not in shown
    assert "known" not in shown
    assert shown.count("***") == 10_000
