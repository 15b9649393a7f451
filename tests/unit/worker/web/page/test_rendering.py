from __future__ import annotations

import pytest
from jinja2 import UndefinedError
from pydantic import SecretStr

from worker.web.page.auth.password import AdminPassword
from worker.web.page.rendering import capped, commands, environment, labelled, words


def test_commands_stand_out_and_all_else_is_escaped_when_a_sentence_is_shown() -> None:
    assert commands("<b> `cartbridge <x>` and `more`") == (
        "&lt;b&gt; <code>cartbridge &lt;x&gt;</code> and <code>more</code>"
    )
    assert commands(None) == ""


def test_labels_of_buttons_stand_out_when_it_is_said_what_to_do() -> None:
    assert labelled("<b> then **Plan again**, or `x`; not **a*b**") == (
        "&lt;b&gt; then <strong>Plan again</strong>, or <code>x</code>; not **a*b**"
    )
    assert commands("**Bold** Jane") == "**Bold** Jane"


def test_values_are_escaped_and_forgotten_names_are_errors_when_a_template_is_rendered() -> None:
    made = environment()
    assert made.from_string("{{ x }}").render(x="<script>") == "&lt;script&gt;"
    with pytest.raises(UndefinedError):
        made.from_string("{{ forgotten }}").render()


def test_counts_stop_at_a_thousand_when_shown() -> None:
    assert [capped(count) for count in (0, 999, 1000, 1001)] == ["0", "999", "1,000", "1,000+"]
    assert (words("unmapped_product"), words(None)) == ("unmapped product", "")


def test_password_is_compared_as_text_when_it_is_no_hash() -> None:
    password = AdminPassword(SecretStr(" schlüssel "))
    assert password.problem is None
    assert password.matches("schlüssel")
    assert not password.matches("schlussel")
    assert not password.matches("")
    assert not password.matches("\ud800")
    assert len(password.session_key) == 32
    for closed in (None, SecretStr("  ")):
        assert not AdminPassword(closed).matches("")
