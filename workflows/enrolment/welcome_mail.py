"""The `welcome_mail` workflow: one mail with the password that LearningCart made for a new customer and gave only once.

`add_customer` seals the password in the ledger before it does anything else, and plans a run of this workflow, which
erases it in the commit of the mail's outcome. Whether a lost mail arrived cannot be asked, so none is sent twice by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.formatting import counted_days
from worker.ledger.events import record_run_event
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import Credentials, SealBrokenError
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from worker.ledger.tables.runs import runs
from worker.mail_templates import WELCOME
from workflows.enrolment.mailer import MAIL, Mailer, not_ready
from workflows.execution.steps import Call, PlannedStep, Repeat, StepDefinition, StepResult, Workflow

ERASED: Final = "password_erased"
"""The event of a password that was not mailed in time."""
_LONGEST_USER_NAME: Final = 254


# The mail


def _send_welcome_mail(call: Call) -> StepResult:
    """Mail the kept password, or how to ask for one where there is none. Never repeated by itself."""
    mailer: Mailer = call.clients[MAIL]
    credentials = _sealed_credentials(call, mailer)
    values = {
        "password": credentials.password if credentials is not None else None,
        "user_name": _user_name(credentials) or call.learner.email,
        "login_url": mailer.login_url,
    }
    secrets = () if credentials is None else (credentials.password,)
    message_id = mailer.send(
        WELCOME, call.learner, values, reference=call.reference, limits=call.limits, secrets=secrets
    )

    def erase(connection: Connection, now: datetime) -> None:
        sealed_passwords.erase(connection, [call.run_id], now=now)

    output = {"message_id": message_id, "with_password": credentials is not None}
    return StepResult(output, message_id, then=erase)


def _user_name(credentials: Credentials | None) -> str:
    """The name to log in with, where it is one word; a text of several, or a link, is none."""
    name = credentials.user_name if credentials is not None else ""
    return name if name.isprintable() and len(name) <= _LONGEST_USER_NAME and not set(name) & set(" /\\<>") else ""


def _sealed_credentials(call: Call, mailer: Mailer) -> Credentials | None:
    """The credentials kept for the run; None where there are none any more."""
    with call.ledger.read() as connection:
        ciphertext = sealed_passwords.find(connection, call.run_id)
    if ciphertext is None:
        return None
    problem = "CARTBRIDGE_PASSWORDS__KEY is not set, and the password is sealed"
    if mailer.seal is not None:
        try:
            return mailer.seal.open(ciphertext, run_id=call.run_id)
        except SealBrokenError as error:
            problem = f"{error}. Put the key that sealed it into CARTBRIDGE_PASSWORDS__KEY"
    raise not_ready(problem)


SEND_WELCOME_MAIL = StepDefinition("send_welcome_mail", MAIL, _send_welcome_mail, repeat=Repeat.NEVER)


def _sequence(_: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    return (PlannedStep(SEND_WELCOME_MAIL.kind, SEND_WELCOME_MAIL),)


WELCOME_MAIL = Workflow("welcome_mail", (SEND_WELCOME_MAIL,), _sequence)


# What is not mailed in time


def erase_unmailed(ledger: Ledger, *, keep_days: float, now: datetime) -> int:
    """Erase the passwords that were kept for too long, or whose run has ended, with an event for each; how many.

    A mail sent after that says how to ask for a password. Safe to repeat and to double.
    """
    before = now - timedelta(days=keep_days)
    with ledger.read() as connection:
        if not sealed_passwords.out_of_time(connection, before=before):
            return 0
    with ledger.write() as connection:
        erased = sealed_passwords.erase(connection, sealed_passwords.out_of_time(connection, before=before), now=now)
        for row in connection.execute(select(runs).where(runs.c.id.in_(erased))):
            why = f"not mailed within {counted_days(keep_days)}" if row.finished_at is None else "needed no more"
            record_run_event(connection, row, at=now, kind=ERASED, actor=Actor.ENGINE, reason=why)
    return len(erased)
