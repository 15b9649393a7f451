"""`worker.text.email_address`: whose an address is, and which ones nobody can type."""

from __future__ import annotations

import pytest

from worker.text.email_address import email_key, email_problem, folded, is_email, trimmed_email

INVISIBLE = [
    "\u200b",
    "\ufeff",
    "\u00ad",
    "\u202a",
    "\u2069",
    "\u00a0",
    "\u3000",
    "\u2060",
    "\u200d",
    "\u3164",
    "\ufe0f",
]


@pytest.mark.parametrize("mark", [*INVISIBLE, " ", "\t", "\r\n", "\u0007", "\u2028"])
def test_what_nobody_sees_is_cut_when_it_stands_at_the_ends(mark: str) -> None:
    for text in (f"a@b.no{mark}", f"{mark}a@b.no", f"{mark} {mark}a@b.no {mark}"):
        assert trimmed_email(text) == "a@b.no"
        assert email_key(text) == "a@b.no"
        assert email_problem(text) is None


@pytest.mark.parametrize("mark", [*INVISIBLE, " ", "\u0007", "\ufffd", "\x00", "\u2019"])
@pytest.mark.parametrize("text", ["a{}b@c.no", "ab{}@c.no", "ab@{}c.no", "ab@c{}.no", "ab@c.n{}o"])
def test_an_address_is_told_what_stands_where_when_nobody_can_type_it(text: str, mark: str) -> None:
    email = text.format(mark)
    problem = email_problem(email) or ""
    assert f"U+{ord(mark):04X}" in problem
    assert f"at character {text.index('{') + 1}" in problem
    assert email not in problem
    assert not is_email(trimmed_email(email))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mailto:a@b.no", "holds U+003A COLON at character 7"),
        ("Jane <a@b.no>", "holds U+0020 SPACE at character 5"),
        ("<a@b.no>", "holds U+003C LESS-THAN SIGN at character 1"),
        ("a@b.no,", "holds U+002C COMMA at character 7"),
        ("a@b.no;c@d.no", "holds U+003B SEMICOLON at character 7"),
        ("a@b.no\ufffd", "holds U+FFFD REPLACEMENT CHARACTER at character 7"),
        ('"a@b.no"', "holds U+0022 QUOTATION MARK at character 1"),
        ("a@b.no.", "has a dot out of place behind its @"),
        (".a@b.no", "has a dot out of place before its @"),
        ("a@@b.no", "has more than one @"),
        ("a.b.no", "has no @"),
        ("@b.no", "has nothing before or behind its @"),
        ("a@", "has nothing before or behind its @"),
        ("a@b", "has no dot behind its @"),
        ("a@b.123", "ends in a number"),
        ("a@-b.no", "has a hyphen out of place behind its @"),
        ("a@b_c.no", "holds U+005F LOW LINE behind its @"),
        ("a@b.no?subject=x", "holds U+003F QUESTION MARK behind its @"),
        ("ａ@b.no", "holds U+FF41 FULLWIDTH LATIN SMALL LETTER A at character 1"),  # noqa: RUF001
        ("a@ｂ.no", "holds U+FF42 FULLWIDTH LATIN SMALL LETTER B at character 3"),  # noqa: RUF001
        ("a＠b.no", "holds U+FF20 FULLWIDTH COMMERCIAL AT at character 2"),  # noqa: RUF001
        ("o\ufb03ce@b.no", "holds U+FB03 LATIN SMALL LIGATURE FFI at character 2"),
        ("a@ex\u0430mple.no", "mixes Cyrillic and Latin letters behind its @"),
        ("\u0430da@example.no", "mixes Cyrillic and Latin letters before its @"),
        ("", "is empty"),
        ("\u200b", "is empty"),
        ("a" * 250 + "@b.no", "is longer than 254 characters"),
    ],
)
def test_an_address_is_no_learners_when_it_has_a_problem(text: str, problem: str) -> None:
    assert email_problem(text) == problem


@pytest.mark.parametrize(
    "text",
    [
        "jane@example.no",
        "Jane.O'Neil+kurs@Sub.Example.no",
        "ø@møbel.no",
        "straße@example.de",
        "\u0131lgaz@örnek.example",
        "用户@例子.广告",
        "почта@пример.рф",
        "a@xn--mbel-gra.no",
        "josé@café.example",
    ],
)
def test_an_address_is_a_learners_when_somebody_can_type_it(text: str) -> None:
    assert email_problem(text) is None
    assert is_email(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@b.no", "strasse@b.no"),
        ("o\ufb03ce@b.no", "office@b.no"),
        ("\u0131lgaz@b.no", "ilgaz@b.no"),
        ("josé@b.no", "jose@b.no"),
        ("ａ@b.no", "a@b.no"),  # noqa: RUF001
        ("\u017fam@b.no", "sam@b.no"),
        ("jane@b.no", "jane+1@b.no"),
        ("a@b.no", "a@b\u200b.no"),
    ],
)
def test_two_people_have_two_keys_when_their_addresses_merely_fold_alike(one: str, other: str) -> None:
    assert email_key(one) != email_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (" Jane@Example.COM\n", "jane@example.com"),
        ("zoe\u0308@b.no", "zoë@b.no"),
        ("ZOË@b.no", "zoe\u0308@B.no"),
        ("\ufeffØ@B.no\u200b", "ø@b.no"),
        ("STRAẞE@b.no", "straße@b.no"),
    ],
)
def test_one_person_has_one_key_when_only_case_and_form_differ(one: str, other: str) -> None:
    assert email_key(one) == email_key(other) == email_key(email_key(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("José@b.no", "jose@b.no"),
        ("straße@b.no", "STRASSE@b.no"),
        ("bjørn@b.no", "bjorn@b.no"),
        ("\u0131lgaz@b.no", "ilgaz@b.no"),
        ("\u0430d\u0430@b.no", "ada@b.no"),
        ("ａda@b.no", "ada@b.no"),  # noqa: RUF001
    ],
)
def test_a_search_finds_both_when_they_are_written_alike(one: str, other: str) -> None:
    assert folded(one) == folded(other)
