"""What outsiders wrote is one short line without addresses in any mail of ours."""

from __future__ import annotations

import pytest

from worker.mail_templates import FOLLOW_ON, WELCOME, MailTemplates
from worker.mail_templates.rendering import LONGEST_LINE, one_short_line
from worker.sources.order import Learner
from workflows.enrolment.mailer import learner_values


@pytest.mark.parametrize("name", ["Jane", "Zoë O'Hara-Müller", "王小明", "Jean Paul", "J. R. R.", "علي", "Ng"])
def test_name_stays_when_it_is_one(name: str) -> None:
    assert one_short_line(name) == name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Jane\r\n\r\nYour account is locked:\nhttps://evil.example/x", "Jane Your account is locked:"),
        ("Jane\u2028\u2029\x0b\x0c\x85Doe", "Jane Doe"),
        ("see evil.example/pay", "see evil. example/pay"),
        ("www.evil.example", "www. evil. example"),
        ("evil\u3002example and evil\uff0eexample", "evil\u3002 example and evil. example"),
        ("write to evil@shop.example now", "write to now"),
        ("write to evil\uff20shop.example now", "write to now"),
        ("mailto:me tel:555", "mailto: me tel: 555"),
        ("HTTPS\uff1a\uff0f\uff0fevil.example hi", "hi"),
        ("\u202egnp.exe\u202c\u200b", "gnp. exe"),
        ("evil\u200b.\u2060example", "evil. example"),
        ("a\x00b\x1b[31m", "ab[31m"),
        (None, ""),
    ],
)
def test_text_is_a_line_without_addresses_when_a_stranger_wrote_a_letter(text: str | None, line: str) -> None:
    assert one_short_line(text) == line


def test_line_is_cut_when_it_is_long() -> None:
    line = one_short_line("very " * 400)
    assert len(line) <= LONGEST_LINE
    assert line.endswith("…")
    assert len(one_short_line("\ufdfa" * 600)) <= LONGEST_LINE  # one character that NFKC makes eighteen


@pytest.mark.parametrize("template", [WELCOME, FOLLOW_ON])
def test_every_mail_holds_the_first_name_as_one_line_when_it_was_a_letter(template: str) -> None:
    letter = "Jane,\n\nyour account was suspended. Log in at https://evil.example/login\n\nThe Academy" + "x" * 500
    learner = learner_values(Learner(email="jane@example.test", first_name=letter, last_name="evil.example"))
    values = {
        "learner": learner,
        "password": "p",
        "user_name": "jane",
        "login_url": "https://academy.example",
        "course_name": one_short_line("First\naid https://evil.example"),
        "checkout_url": "https://shop.example/pay",
    }
    mail = MailTemplates().render(template, values)
    assert "evil.example" not in mail.subject + mail.text + learner["name"]
    (greeting,) = (line for line in mail.text.splitlines() if line.startswith("Hello"))
    assert len(greeting) <= LONGEST_LINE + len("Hello ,")
    assert "\n\nThe Academy" not in mail.text
