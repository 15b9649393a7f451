"""`worker.clients.charset`: what cannot be decoded spoils the name it stands in, and no other."""

from __future__ import annotations

import pytest

from worker.clients.charset import charset_of, decode

NAMES = "Jørgen, Zoë, Łukasz, 王"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        (None, None),
        ("application/json", None),
        ("application/json; charset=UTF-8", "utf-8"),
        ("application/json; Charset='utf8'", "utf-8"),
        ('text/xml; a=b; charset="ISO-8859-1"', "iso8859-1"),
        ("text/html; charset=windows-1252", "cp1252"),
        ("a; charset=base64", None),
        ("a; charset=rot13", None),
        ("a; charset=unicode_escape", None),
        ("a; charset=none-such", None),
        ("a; charset=" + "x" * 10_000, None),
        ("a; charset=\x00", None),
    ],
)
def test_a_charset_is_known_when_it_is_declared_and_is_one(content_type: str | None, charset: str | None) -> None:
    assert charset_of(content_type) == charset


@pytest.mark.parametrize("charset", [None, "utf-8", "cp1252"])
def test_utf8_is_read_as_such_when_anything_is_declared(charset: str | None) -> None:
    assert decode(NAMES.encode(), charset) == NAMES


@pytest.mark.parametrize("charset", [None, "utf-8"])
@pytest.mark.parametrize(
    ("cut", "shown"),
    [(b"Jos\xc3", "Jos\ufffd"), (b"\xa9sa", "\ufffdsa"), (b"\xe7\x8e", "\ufffd"), (b"\xff\xfe?", "\ufffd\ufffd?")],
)
def test_one_name_is_spoilt_when_one_letter_is_cut(cut: bytes, shown: str, charset: str | None) -> None:
    text = decode(b'["' + cut + b'", "' + NAMES.encode() + b'"]', charset)
    assert text == f'["{shown}", "{NAMES}"]'


def test_a_cut_letter_is_not_taken_for_another_charset_when_nothing_else_is_beyond_ascii() -> None:
    assert decode(b'["Jos\xc3", "Ann"]') == '["Jos\ufffd", "Ann"]'
    assert decode(b'["Jos\xc3", "Ann"]', "utf-8") == '["Jos\ufffd", "Ann"]'


def test_the_western_code_page_is_read_when_declared_or_when_nothing_is_utf8() -> None:
    western = "Jørgen, Zoë".encode("cp1252")
    assert decode(western) == decode(western, "iso8859-1") == decode(western, "cp1252") == "Jørgen, Zoë"
    assert decode(western, "utf-8") == "J\ufffdrgen, Zo\ufffd"


def test_another_charset_is_read_when_it_is_declared_and_fits() -> None:
    assert decode("Łukasz".encode("cp1250"), "cp1250") == "Łukasz"
    assert decode("王".encode("gbk"), "gbk") == "王"
    assert decode(b"\x81 \xc3\xb8", "cp1250") == "\ufffd ø"
