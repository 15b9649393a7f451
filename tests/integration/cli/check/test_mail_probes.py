"""`cartbridge check` of mail: the server, the templates, passwords, and a test mail on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_order, add_run
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import Credentials, PasswordSeal
from worker.ledger.session import Ledger
from worker.sandbox.mailbox import Mailbox, MailFault

KEY = "cGFzc3dvcmRzLWtleS1vZi0zMi1ieXRlcy1leGFjdGw="
OTHER_KEY = "YW5vdGhlci1rZXktb2YtMzItYnl0ZXMtZXhhY3RseSE="


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox) -> None:
    login = {"CARTBRIDGE_MAIL__USERNAME": "courses", "CARTBRIDGE_MAIL__PASSWORD": "planted-password"}
    for name, value in mailbox.environment(**login).items():
        monkeypatch.setenv(name, value)


def found(run: Run, *arguments: str) -> dict[str, Any]:
    result = run("check", "--json", *arguments)
    assert result.exit_code == 1  # no source and no destination
    assert "planted" not in result.output
    findings = [each for each in json.loads(result.stdout)["findings"] if each["kind"] == "mail"]
    return {each["name"]: each for each in findings}


def test_mail_and_how_to_have_it_are_told_when_nothing_is_configured(run: Run) -> None:
    reported = found(run)
    assert set(reported) == {"mail", "passwords"}
    assert reported["mail"]["configured"] is False
    assert reported["mail"]["next_step"] == "Off. To use it, set CARTBRIDGE_MAIL__HOST, CARTBRIDGE_MAIL__SENDER."
    assert "set CARTBRIDGE_PASSWORDS__MODE=mail; `cartbridge check`" in reported["passwords"]["next_step"]
    refused = found(run, "--mail-to", "jane@example.com")["test mail"]
    assert (refused["failed"], refused["detail"]) == (True, "mail is off")


def test_missing_variables_are_named_when_mail_is_half_configured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARTBRIDGE_MAIL__HOST", "127.0.0.1")
    assert found(run)["mail"]["next_step"] == "Set CARTBRIDGE_MAIL__SENDER."


@pytest.mark.usefixtures("configured")
def test_server_is_logged_in_to_and_sent_nothing_when_mail_is_configured(
    run: Run, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_PASSWORDS__MODE", "mail")
    monkeypatch.setenv("CARTBRIDGE_PASSWORDS__KEY", f"{KEY},{KEY}")
    reported = found(run)
    assert reported["mail"]["accepted"] is True
    assert reported["mail"]["detail"] == f"127.0.0.1:{mailbox.port}, none, logged in"
    assert reported["mail templates"]["detail"] == "built in"
    assert (
        reported["passwords"]["detail"] == "mailed to new customers; 0 kept now, sealed by 2 keys, for 7 days at most"
    )
    assert mailbox.received == []


@pytest.mark.usefixtures("configured")
def test_test_mail_arrives_when_it_is_asked_for(run: Run, mailbox: Mailbox) -> None:
    reported = found(run, "--mail-to", "Jane <jane@example.com>")["test mail"]
    (mail,) = mailbox.received
    assert reported["detail"] == f"taken by 127.0.0.1 as {mail.message_id}"
    assert (mail.recipient, mail.subject) == ("jane@example.com", "Test mail from Cartbridge")
    assert found(run, "--mail-to", "jane")["test mail"]["detail"] == "that is no email address"
    mailbox.inject(MailFault("rcpt", code=550, text="5.1.1 unknown"))
    refused = found(run, "--mail-to", "jane@example.com")["test mail"]
    assert (refused["failed"], refused["reachable"]) == (True, True)
    assert "550 5.1.1 unknown" in refused["detail"]


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("fault", "reachable", "step"),
    [
        (MailFault("auth", code=535), True, "Correct CARTBRIDGE_MAIL__USERNAME and CARTBRIDGE_MAIL__PASSWORD."),
        (MailFault("connect", "cut"), False, "Is 127.0.0.1:"),
        (MailFault("ehlo", code=550), True, "Read what the server answered, and try again."),
    ],
)
def test_next_step_is_named_when_the_server_does_not_work(
    run: Run, mailbox: Mailbox, fault: MailFault, reachable: bool, step: str
) -> None:
    mailbox.inject(fault)
    reported = found(run)["mail"]
    assert (reported["failed"], reported["reachable"]) == (True, reachable)
    assert reported["next_step"].startswith(step)


@pytest.mark.usefixtures("configured")
def test_sender_is_doubted_when_the_server_refuses_it(run: Run, mailbox: Mailbox) -> None:
    mailbox.inject(MailFault("mail", code=553))
    assert "CARTBRIDGE_MAIL__SENDER" in found(run, "--mail-to", "jane@example.com")["test mail"]["next_step"]


def test_kept_passwords_are_told_when_the_keys_open_them_or_do_not(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.write() as connection:
        add_order(connection)
        run_id = add_run(connection, workflow="welcome_mail")
        sealed = PasswordSeal([KEY]).close(Credentials("planted-password"), run_id=run_id)
        sealed_passwords.keep(connection, run_id, sealed, now=NOW)
    reported = found(run)["passwords"]
    assert (reported["failed"], reported["detail"]) == (
        True,
        f"1 of 1 kept password cannot be opened: that of run {run_id}",
    )
    monkeypatch.setenv("CARTBRIDGE_PASSWORDS__KEY", OTHER_KEY)
    assert found(run)["passwords"]["failed"] is True
    monkeypatch.setenv("CARTBRIDGE_PASSWORDS__KEY", f"{OTHER_KEY},{KEY}")
    assert found(run)["passwords"]["failed"] is False
    with ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    assert found(run)["passwords"]["failed"] is False


def test_file_and_line_are_named_when_a_template_is_wrong(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARTBRIDGE_MAIL__TEMPLATES_DIRECTORY", str(tmp_path))
    (tmp_path / "follow_on.txt").write_text("Subject: x\n\n{{ url }}")
    reported = found(run)["mail templates"]
    assert reported["failed"] is True
    assert "follow_on.txt line 3: there is no url" in reported["detail"]
