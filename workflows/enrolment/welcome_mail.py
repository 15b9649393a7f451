"""The `welcome_mail` workflow: one mail with the password that LearningCart made up for a new customer and told once.

The password is sealed in the ledger before anything else is done, mailed by a run of its own, and erased in the commit
of that mail's outcome. Whether a lost mail arrived cannot be asked, so no mail is sent twice by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.clients.learningcart.models import Customer
from worker.formatting import counted_days
from worker.ledger.events import record_event
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import Credentials, SealBrokenError
from worker.ledger.runs.run_rows import NewRun, insert_run, load_run
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import Actor, Outcome, RunState
from worker.ledger.tables.runs import Attempt, attempts, runs
from worker.mail_templates import WELCOME
from workflows.enrolment.mailer import MAIL, Mailroom, not_ready
from workflows.execution.steps import Call, PlannedStep, Repeat, StepDefinition, StepResult, Workflow

NAME: Final = "welcome_mail"
KEY_WORD: Final = "welcome"
ERASED: Final = "password_erased"
"""The event of a password that was not mailed in time."""
_LONGEST_USER_NAME: Final = 254
_LOST: Final = "an attempt whose answer was lost may have made this customer"


# What `add_customer` does


def keep_password(call: Call, customer: Customer) -> None:
    """Seal the password of a customer who was just made, and plan its mail, in one transaction of its own.

    To be called as soon as LearningCart has answered: the password is told once. It is kept whatever becomes of the
    caller's lease. Does nothing where passwords are not mailed, or the customer is not new. Safe to repeat.
    """
    room = _room_of(call)
    if room is None or room.seal is None or customer.password is None:
        return
    credentials = Credentials(customer.password.get_secret_value(), (customer.user_name or "").strip())
    with call.ledger.write() as connection:
        run_id = _plan(connection, call, with_password=True, now=call.now)
        if run_id is not None:
            ciphertext = room.seal.close(credentials, run_id=run_id)
            sealed_passwords.keep(connection, run_id, ciphertext, now=call.now)


def welcome_without_password(call: Call, customer: Customer) -> Callable[[Connection, datetime], None] | None:
    """What `add_customer` commits with its result where an earlier attempt of it may have made this customer.

    The password went with that attempt's answer, so the mail says how to ask for a new one. None where nothing of the
    kind can have happened. Not planned for a learner who was welcomed before, with a password or without.
    """
    if _room_of(call) is None or call.attempt == 0 or customer.is_new:
        return None

    def plan(connection: Connection, now: datetime) -> None:
        tried = (
            select(attempts)
            .join(runs, (runs.c.id == attempts.c.run_id) & (runs.c.generation == attempts.c.generation))
            .where(attempts.c.run_id == call.run_id, attempts.c.step == call.step)
        )
        earlier = [record_of(Attempt, row) for row in connection.execute(tried)]
        if any(map(_may_have_made, earlier)) and not _is_welcomed(connection, call.run_id):
            _plan(connection, call, with_password=False, now=now)

    return plan


def _room_of(call: Call) -> Mailroom | None:
    """The mailroom, where passwords are mailed."""
    room: Mailroom | None = call.clients.get(MAIL)
    return room if room is not None and room.mails_passwords else None


def _may_have_made(attempt: Attempt) -> bool:
    """Whether a failed attempt of `addCustomer` may have been carried out; also where its row does not say."""
    return attempt.outcome != Outcome.OK and attempt.may_have_acted is not False


def _is_welcomed(connection: Connection, run_id: str) -> bool:
    """Whether the learner of a run has a welcome mail, of whatever order: they share a lane."""
    welcome = runs.alias("welcome")
    found = (
        select(welcome.c.id)
        .join(runs, runs.c.lane == welcome.c.lane)
        .where(runs.c.id == run_id, welcome.c.workflow == NAME)
        .limit(1)
    )
    return connection.scalar(found) is not None


def _plan(connection: Connection, call: Call, *, with_password: bool, now: datetime) -> str | None:
    """Add the mail's run beside the one that made the customer; None where there is one already."""
    parent = load_run(connection, call.run_id)
    # Repeated on purpose (`--again`), the customer may be made anew, and is told of it anew.
    word = f"{KEY_WORD}-{parent.generation}" if parent.generation else KEY_WORD
    return insert_run(
        connection,
        NewRun(
            key=f"{parent.key}/{word}",
            workflow=NAME,
            state=RunState.PENDING,
            source=parent.source,
            order_id=parent.order_id,
            line_id=parent.line_id,
            seat_id=parent.seat_id,
            title="welcome mail",
            note=None if with_password else _LOST,
            learner=call.learner,
            grant={"with_password": with_password},
            step_names=[SEND_WELCOME_MAIL.kind],
            parent_id=parent.id,
            delivery_id=parent.delivery_id,
        ),
        now=now,
    )


# The mail


def _send_welcome_mail(call: Call) -> StepResult:
    """Mail the password that is kept, or without one how to ask for one. Never repeated by itself."""
    room: Mailroom = call.clients[MAIL]
    credentials = _kept(call, room)
    values = {
        "password": credentials.password if credentials is not None else None,
        "user_name": _user_name(credentials) or call.learner.email,
        "login_url": room.login_url,
    }
    secrets = () if credentials is None else (credentials.password,)
    message_id = room.send(WELCOME, call.learner, values, reference=call.reference, limits=call.limits, secrets=secrets)

    def erase(connection: Connection, now: datetime) -> None:
        sealed_passwords.erase(connection, [call.run_id], now=now)

    output = {"message_id": message_id, "with_password": credentials is not None}
    return StepResult(output, message_id, then=erase)


def _user_name(credentials: Credentials | None) -> str:
    """The name to log in with, where it is one word; a text of several, or a link, is none."""
    name = credentials.user_name if credentials is not None else ""
    return name if name.isprintable() and len(name) <= _LONGEST_USER_NAME and not set(name) & set(" /\\<>") else ""


def _kept(call: Call, room: Mailroom) -> Credentials | None:
    """The credentials kept for the run; None where there are none, or none any more."""
    with call.ledger.read() as connection:
        ciphertext = sealed_passwords.find(connection, call.run_id)
    if ciphertext is None:
        return None
    problem = "CARTBRIDGE_PASSWORDS__KEY is not set, and the password is sealed"
    if room.seal is not None:
        try:
            return room.seal.open(ciphertext, run_id=call.run_id)
        except SealBrokenError as error:
            problem = f"{error}. Put the key that sealed it into CARTBRIDGE_PASSWORDS__KEY"
    raise not_ready(problem)


SEND_WELCOME_MAIL = StepDefinition("send_welcome_mail", MAIL, _send_welcome_mail, repeat=Repeat.NEVER)


def _sequence(_: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    return (PlannedStep(SEND_WELCOME_MAIL.kind, SEND_WELCOME_MAIL),)


WELCOME_MAIL = Workflow(NAME, (SEND_WELCOME_MAIL,), _sequence)


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
            record_event(
                connection,
                at=now,
                kind=ERASED,
                actor=Actor.ENGINE,
                run_id=row.id,
                source=row.source,
                order_id=row.order_id,
                reason=f"not mailed within {counted_days(keep_days)}" if row.finished_at is None else "needed no more",
            )
    return len(erased)
