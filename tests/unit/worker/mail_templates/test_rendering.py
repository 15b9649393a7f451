from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.mail_templates import FOLLOW_ON, SAMPLES, WELCOME, MailTemplates, TemplateError

PASSWORD = "planted-password"
VALUES: dict[str, Any] = dict(SAMPLES[WELCOME][0]) | {"password": PASSWORD}


def test_built_in_mails_say_what_they_are_for_when_rendered() -> None:
    templates = MailTemplates()
    welcome = templates.render(WELCOME, VALUES)
    assert welcome.subject == "Your access to example.com"
    assert f"Password:  {PASSWORD}\n" in welcome.text
    assert PASSWORD not in repr(welcome)
    assert "Forgot password" in templates.render(WELCOME, VALUES | {"password": None}).text
    nameless = {"learner": {"first_name": ""}, "course_name": "", "checkout_url": "https://shop.example/pay?cart=1"}
    follow_on = templates.render(FOLLOW_ON, nameless)
    assert follow_on.subject == "Your next course"
    assert follow_on.text.startswith("Hello,\n")
    assert "https://shop.example/pay?cart=1" in follow_on.text
    assert list(templates.problems()) == []


def test_operators_files_replace_the_built_in_ones_when_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt").write_text("Subject:  Hei {{ learner.name }} \n\n\nPassord: {{ password }}\n")
    (tmp_path / "welcome.html").write_text("<p>{{ password }}</p>")
    templates = MailTemplates(tmp_path)
    mail = templates.render(WELCOME, VALUES | {"password": "<b>"})
    assert (mail.subject, mail.text, mail.html) == ("Hei Jane Doe", "Passord: <b>\n", "<p>&lt;b&gt;</p>")
    assert templates.render(FOLLOW_ON, SAMPLES[FOLLOW_ON][0]).html == ""
    (tmp_path / "welcome.txt").write_text("Subject: Anew\n\nx")
    assert templates.render(WELCOME, VALUES).subject == "Anew"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Subject: x\n\n{{ pasword }}\n", "welcome.txt line 3: there is no pasword; see docs/mail.md"),
        ("Subject: x\n\n\n{% if password %}\n", "welcome.txt line 4: Unexpected end of template"),
        ("Hello\n\n{{ password }}", "welcome.txt line 1: should be Subject:"),
        ("Subject:\nHello", "welcome.txt line 1: should be Subject:"),
        ("Subject: x\n\n{% include 'footer.txt' %}", "welcome.txt: a template it includes or extends is not there"),
        ("Subject: x\n\n{{ learner[password] }}", "welcome.txt line 3: UndefinedError while it was rendered"),
        ("Subject: x\n\n{{ password.__class__.__mro__ }}", "welcome.txt line 3: SecurityError while it was rendered"),
        ("Subject: x\n\n{{ password + 1 }}", "welcome.txt line 3: TypeError while"),
    ],
)
def test_problem_names_file_and_line_and_no_value_when_a_template_is_wrong(
    tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "welcome.txt").write_text(text)
    templates = MailTemplates(tmp_path)
    with pytest.raises(TemplateError) as caught:
        templates.render(WELCOME, VALUES)
    assert sentence in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None
    (problem,) = templates.problems()
    assert sentence in problem


def test_directory_is_missed_when_there_is_none(tmp_path: Path) -> None:
    assert list(MailTemplates(tmp_path / "nowhere").problems()) == [f"{tmp_path / 'nowhere'} is no directory"]
