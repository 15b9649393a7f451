"""Forgets a learner: their name, email and addresses leave the ledger, and everything that was done stays provable.

In the person's place comes a pseudonym, the same wherever they were: keys, states, effects, attempts and the audit
trail hold no personal data and remain.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Text, cast, select, update

from worker.errors import LedgerError
from worker.ledger import sealed_passwords
from worker.ledger.cart_models import carts
from worker.ledger.forgotten import FORGOTTEN, hold_places, pseudonym
from worker.ledger.models import (
    attempts,
    completions,
    deliveries,
    learners,
    order_versions,
    orders,
    outbox,
    runs,
    steps,
)
from worker.ledger.repository import record_event
from worker.ledger.states import RunState
from worker.ledger.subscription_rows import forget_buyer, subscriptions_bought
from worker.sources.order import email_key

OPEN = (RunState.PENDING, RunState.RUNNING, RunState.WAITING, RunState.REVIEW, RunState.FAILED)
"""These runs still need to know whom they are for."""
_LIKE = {"%": "!%", "_": "!_", "!": "!!", "\\": "%", '"': "%"}
_IN_AN_EMAIL = r"[^@\s,;<>\"()]"


class StillNeededError(LedgerError):
    """The learner has runs that are not finished."""


@dataclass(frozen=True)
class Person:
    """What the ledger holds of one email."""

    learner_id: str | None
    email: str
    run_ids: tuple[str, ...]
    open_run_ids: tuple[str, ...]
    orders: tuple[tuple[str, str], ...]
    completions: int
    messages: int
    """Events for the outgoing webhook that name them."""
    subscriptions: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there is anything to forget."""
        found = (self.learner_id, self.run_ids, self.orders, self.completions, self.messages, self.subscriptions)
        return any(found)

    @property
    def pseudonym(self) -> str:
        """An address that no mail reaches (RFC 2606), and that holds nothing of the person."""
        return pseudonym(self.learner_id)


def find_person(connection: Connection, email: str) -> Person:
    """What the ledger holds of an email, however it is written. Reads only."""
    key = email_key(email)
    learner_id = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
    rows = connection.execute(
        select(runs.c.id, runs.c.state, runs.c.source, runs.c.order_id).where(runs.c.email_key == key)
    ).all()
    bought = connection.execute(select(orders.c.source, orders.c.order_id).where(orders.c.buyer_email_key == key)).all()
    # A seat that needed no run, of an older order or an ignored product, stands in its order's document alone.
    seated = _naming(connection, key, orders.c.document, orders.c.source, orders.c.order_id)
    involved = {(row.source, row.order_id) for row in [*rows, *bought, *seated] if row.order_id is not None}
    return Person(
        learner_id=learner_id,
        email=key,
        run_ids=tuple(sorted(row.id for row in rows)),
        open_run_ids=tuple(sorted(row.id for row in rows if row.state in OPEN)),
        orders=tuple(sorted(involved)),
        completions=len(connection.execute(select(completions.c.id).where(completions.c.email_key == key)).all()),
        messages=len(_naming(connection, key, outbox.c.payload, outbox.c.id)),
        subscriptions=subscriptions_bought(connection, key),
    )


def forget(connection: Connection, person: Person, *, now: datetime, actor: str, reason: str | None) -> None:
    """Replace the person by their pseudonym, in the caller's transaction. Safe to repeat.

    Raises `StillNeededError` where a run is not finished: it would have nobody to give access to.
    """
    if person.open_run_ids:
        raise StillNeededError(f"{len(person.open_run_ids)} runs of this learner are not finished")
    replace = _replacing(person)
    for source, order_id in person.orders:
        _forget_in_order(connection, source, order_id, person, replace)
    learner = {"email": person.pseudonym}
    for run in connection.execute(select(runs.c.id, runs.c.note).where(runs.c.id.in_(person.run_ids))):
        values = {"email": person.pseudonym, "email_key": person.pseudonym, "learner": learner}
        connection.execute(update(runs).where(runs.c.id == run.id).values(**values, note=replace(run.note)))
    for attempt in connection.execute(
        select(attempts.c.run_id, attempts.c.step, attempts.c.number, attempts.c.error).where(
            attempts.c.run_id.in_(person.run_ids), attempts.c.error.is_not(None)
        )
    ):
        connection.execute(
            update(attempts)
            .where(
                attempts.c.run_id == attempt.run_id,
                attempts.c.step == attempt.step,
                attempts.c.number == attempt.number,
            )
            .values(error=replace(attempt.error))
        )
    connection.execute(
        update(completions)
        .where(completions.c.email_key == person.email)
        # A name that is missing would be filled in by the next poll.
        .values(email=person.pseudonym, email_key=person.pseudonym, name=FORGOTTEN)
    )
    for event in _naming(connection, person.email, outbox.c.payload, outbox.c.id):
        connection.execute(update(outbox).where(outbox.c.id == event.id).values(payload=replace(event.payload)))
    forget_buyer(connection, person.email)
    sealed_passwords.erase(connection, person.run_ids, now=now)
    _forget_checkouts(connection, person)
    if person.learner_id is not None:
        connection.execute(
            update(learners)
            .where(learners.c.id == person.learner_id)
            .values(email=person.pseudonym, email_key=person.pseudonym)
        )
    record_event(
        connection,
        at=now,
        kind="learner_forgotten",
        actor=actor,
        reason=reason,
        detail={
            "learner_id": person.learner_id,
            "runs": len(person.run_ids),
            "orders": [f"{source}/{order_id}" for source, order_id in person.orders],
            "completions": person.completions,
            "messages": person.messages,
        },
    )


def _forget_in_order(
    connection: Connection, source: str, order_id: str, person: Person, replace: Callable[[Any], Any]
) -> None:
    """Our own document loses the person alone; what the source sent is dropped whole, as its form is not ours."""
    one = (orders.c.source == source, orders.c.order_id == order_id)
    row = connection.execute(select(orders).where(*one)).one_or_none()
    if row is None:  # a completion's run has none
        return
    values: dict[str, Any] = {"document": hold_places(replace(row.document))}
    if row.buyer_email_key == person.email:
        values |= {"buyer_email": person.pseudonym, "buyer_email_key": person.pseudonym, "buyer_name": ""}
    connection.execute(update(orders).where(*one).values(**values))
    connection.execute(
        update(order_versions)
        .where(order_versions.c.source == source, order_versions.c.order_id == order_id)
        .values(raw={FORGOTTEN: True})
    )
    for delivery in connection.execute(
        select(deliveries.c.id, deliveries.c.note).where(
            deliveries.c.source == source, deliveries.c.order_id == order_id
        )
    ).all():
        connection.execute(
            update(deliveries).where(deliveries.c.id == delivery.id).values(body=None, note=replace(delivery.note))
        )


def _forget_checkouts(connection: Connection, person: Person) -> None:
    """Who knows a checkout's address sees whose cart it is."""
    theirs = carts.c.run_id.in_(person.run_ids)
    connection.execute(update(carts).where(theirs).values(checkout_url=None))
    for step in connection.execute(select(steps).where(steps.c.run_id.in_(person.run_ids))).all():
        if "checkout_url" in (step.output or {}):
            output = {name: value for name, value in step.output.items() if name != "checkout_url"}
            one = (steps.c.run_id == step.run_id, steps.c.position == step.position)
            connection.execute(update(steps).where(*one).values(output=output))


def _replacing(person: Person) -> Callable[[Any], Any]:
    """What puts the pseudonym for the email, wherever it stands in a text, a list or a mapping.

    A mapping whose own email is the person's (a learner, a buyer, an event) loses whatever else describes them.
    """
    pattern = _whole(person.email)

    def named(match: re.Match[str]) -> str:
        return person.pseudonym if email_key(match[0]) == person.email else match[0]

    about = {"first_name": "", "last_name": "", "name": "", "buyer_name": "", "address": None}

    def replace(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(named, _normal(value))
        if isinstance(value, list):
            return [replace(each) for each in value]
        if isinstance(value, dict):
            is_theirs = any(
                isinstance(value.get(name), str) and email_key(value[name]) == person.email
                for name in ("email", "buyer_email")
            )
            return {name: about[name] if is_theirs and name in about else replace(each) for name, each in value.items()}
        return value

    return replace


def _whole(key: str) -> re.Pattern[str]:
    """Finds an email in a text, and not within another's: neither in `jo.ann@…` nor in `ann@example.com.au`.

    Also some that only look alike to `re`, as a dotless i does to an i: the key of what is found decides.
    """
    return re.compile(rf"(?<!{_IN_AN_EMAIL}){re.escape(key)}(?![\w-]|\.\w)", re.IGNORECASE)


def _normal(text: str) -> str:
    """A text in the normal form in which keys are."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _naming(connection: Connection, key: str, document: Column[Any], *columns: Column[Any]) -> list[Row[Any]]:
    """The rows whose JSON names an email: their `columns`, and the JSON as `payload`. Goes through all: asked rarely.

    What JSON may escape is any text to the database, and looked at here.
    """
    pattern = "".join(_LIKE.get(each, each if each.isascii() else "%") for each in key)
    text = cast(document, Text)
    found = connection.execute(
        select(*columns, document.label("payload")).where(text.ilike(f"%{pattern}%", escape="!"))
    )
    whole = _whole(key)
    texts = ((row, _normal(json.dumps(row.payload, ensure_ascii=False))) for row in found)
    return [row for row, told in texts if any(email_key(match[0]) == key for match in whole.finditer(told))]
