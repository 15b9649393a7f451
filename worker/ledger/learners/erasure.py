"""Forgets a learner: their name, email and addresses leave the ledger, and everything that was done stays provable.

In the person's place comes a pseudonym, the same wherever they were: keys, states, effects, attempts and the audit
trail remain. A tombstone keeps them from coming back, see `worker.ledger.learners.tombstones`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from worker.errors import LedgerError
from worker.formatting import counted
from worker.ledger.compaction import owe_rewrite
from worker.ledger.events import people_of, record_event
from worker.ledger.learners import erased_texts, sealed_passwords, tombstones
from worker.ledger.learners.erased import FORGOTTEN, HELD, hold_places, pseudonym
from worker.ledger.learners.mentions import normal_text, rows_naming, whole_email
from worker.ledger.orders.operator_entries import erase_notes, follow_erasure, forget_named, given_to, of_person
from worker.ledger.orders.subscription_rows import forget_buyer, subscriptions_bought
from worker.ledger.runs import transitions
from worker.ledger.search.texts import write_search_text
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import carts, completions
from worker.ledger.tables.runs import deliveries, learners, order_versions, orders, outbox, runs, steps
from worker.sources.order import Learner, email_key
from worker.text.personal_text import ERASED, personal_words, without_words, words_of_record

_RESTORED_OPEN = "The ledger was restored from a copy in which this was open; its learner was forgotten since."
OPEN = (RunState.PENDING, RunState.RUNNING, RunState.WAITING, RunState.REVIEW, RunState.FAILED)
"""These runs still need to know whom they are for."""


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
    named_seats: int = 0
    """Seats that an operator gave to them."""
    delivery_ids: tuple[str, ...] = ()
    """Deliveries whose body names them, and that nobody has looked at yet."""
    beside: tuple[str, ...] = ()
    """What `addresses_beside` finds, where it was asked."""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to forget."""
        found = (self.learner_id, self.run_ids, self.orders, self.completions, self.messages, self.subscriptions)
        return any(found) or bool(self.delivery_ids) or bool(self.named_seats)

    @property
    def pseudonym(self) -> str:
        """An address that no mail reaches (RFC 2606), and that holds nothing of the person."""
        return pseudonym(self.learner_id)


@dataclass(frozen=True)
class Receipt:
    """What a forgetting took out of the ledger."""

    pseudonym: str
    erased_at: datetime
    tombstone: tombstones.Tombstone | None
    """None where there is one already."""
    removed: Mapping[str, int]
    """Rows from which something of the person was taken, by table."""


def find_person(connection: Connection, email: str) -> Person:
    """What the ledger holds of an email, however it is written. Reads only."""
    key = email_key(email)
    learner_id = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
    rows = connection.execute(
        select(runs.c.id, runs.c.state, runs.c.source, runs.c.order_id).where(runs.c.email_key == key)
    ).all()
    bought = connection.execute(select(orders.c.source, orders.c.order_id).where(orders.c.buyer_email_key == key)).all()
    # A seat that needed no run, of an older order or an ignored product, stands in its order's document alone.
    seated = rows_naming(connection, key, orders.c.document, orders.c.source, orders.c.order_id)
    named = of_person(connection, key)
    # Somebody whose address was corrected since, or of whom we read nothing, stands in the source's own record alone.
    kept = rows_naming(connection, key, order_versions.c.raw, order_versions.c.source, order_versions.c.order_id)
    found = [*rows, *bought, *seated, *named, *kept]
    involved = {(row.source, row.order_id) for row in found if row.order_id is not None}
    return Person(
        learner_id=learner_id,
        email=key,
        run_ids=tuple(sorted(row.id for row in rows)),
        open_run_ids=tuple(sorted(row.id for row in rows if row.state in OPEN)),
        orders=tuple(sorted(involved)),
        completions=len(connection.execute(select(completions.c.id).where(completions.c.email_key == key)).all()),
        messages=len(rows_naming(connection, key, outbox.c.payload, outbox.c.id)),
        subscriptions=subscriptions_bought(connection, key),
        named_seats=len(named),
        delivery_ids=tuple(row.id for row in rows_naming(connection, key, deliveries.c.body, deliveries.c.id)),
    )


def forget(
    connection: Connection, person: Person, *, now: datetime, actor: str, reason: str | None, again: bool = False
) -> Receipt:
    """Replace the person by their pseudonym, in the caller's transaction, and leave a tombstone. Safe to repeat.

    Raises `StillNeededError` where a run is not finished: it would have nobody to give access to. `again`: they were
    forgotten before the ledger was restored from an older copy; what was open in that copy has ended since, and is a
    question now. Its tombstone is there already.
    """
    if person.open_run_ids and not again:
        raise StillNeededError(f"{counted(len(person.open_run_ids), 'run')} of this learner not finished")
    removed: Counter[str] = Counter()
    words = words_of(connection, person)
    replace = _replacing(person)
    places = _places(connection, person)
    if person.open_run_ids:
        # Whom a restored copy holds them open for is not known any more.
        transitions.ask_about(connection, person.open_run_ids, reason=HELD, note=_RESTORED_OPEN, now=now)
    for source, order_id in person.orders:
        removed += _forget_in_order(connection, source, order_id, person, replace)
    removed["runs"] += _forget_runs(connection, person, words, replace)
    removed["named_seats"] += forget_named(connection, person.email)
    removed["order_notes"] += erase_notes(connection, person.orders)
    removed["completions"] += connection.execute(
        update(completions)
        .where(completions.c.email_key == person.email)
        # A name that is missing would be filled in by the next poll.
        .values(email=person.pseudonym, email_key=person.pseudonym, name=FORGOTTEN)
    ).rowcount
    removed["outbox"] += _forget_messages(connection, person, replace)
    # Without its body the order is fetched, and recorded without the person where it is older than this.
    bodies = update(deliveries).where(deliveries.c.id.in_(person.delivery_ids)).values(body=None)
    removed["deliveries"] += connection.execute(bodies).rowcount
    removed["subscriptions"] += forget_buyer(connection, person.email)
    removed["sealed_passwords"] += len(sealed_passwords.erase(connection, person.run_ids, now=now))
    removed["carts"] += _forget_checkouts(connection, person)
    own = update(learners).where(learners.c.id == person.learner_id)
    removed["learners"] += connection.execute(own.values(email=person.pseudonym, email_key=person.pseudonym)).rowcount
    removed += erased_texts.erase(connection, person.email, words, run_ids=person.run_ids, orders=person.orders)
    removed["search_texts"] += _write_search_texts(connection, person)
    owe_rewrite(connection, now=now)
    tombstone = None if again else tombstones.add_tombstone(connection, email=person.email, places=places, now=now)
    record_event(
        connection,
        at=now,
        kind="learner_forgotten",
        actor=actor,
        reason=None if reason is None else without_words(reason, words, mark=ERASED),
        detail={
            "learner_id": person.learner_id,
            "erasure_id": None if tombstone is None else tombstone.id,
            "runs": len(person.run_ids),
            "orders": [f"{source}/{order_id}" for source, order_id in person.orders],
            "completions": person.completions,
            "messages": person.messages,
        },
    )
    return Receipt(
        person.pseudonym, now, tombstone, {table: count for table, count in sorted(removed.items()) if count}
    )


def _forget_messages(connection: Connection, person: Person, replace: Callable[[Any], Any]) -> int:
    found = rows_naming(connection, person.email, outbox.c.payload, outbox.c.id)
    for event in found:
        connection.execute(update(outbox).where(outbox.c.id == event.id).values(payload=replace(event.payload)))
    return len(found)


def _write_search_texts(connection: Connection, person: Person) -> int:
    """Write anew what the search finds them by: their orders, and the completions that have runs of theirs."""
    completed = select(runs.c.source, runs.c.completion_id).where(
        runs.c.id.in_(person.run_ids), runs.c.completion_id.is_not(None)
    )
    records = {*person.orders, *((row.source, row.completion_id) for row in connection.execute(completed))}
    for source, record_id in sorted(records):
        write_search_text(connection, source, record_id)
    return len(records)


def _forget_runs(connection: Connection, person: Person, words: frozenset[str], replace: Callable[[Any], Any]) -> int:
    """Put the pseudonym into their runs, and mask what notes name; how many."""
    found = connection.execute(select(runs.c.id, runs.c.note).where(runs.c.id.in_(person.run_ids))).all()
    for run in found:
        note = None if run.note is None else without_words(replace(erased_texts.unquoted(run.note)), words, mark=ERASED)
        connection.execute(
            update(runs)
            .where(runs.c.id == run.id)
            .values(email=person.pseudonym, email_key=person.pseudonym, learner={"email": person.pseudonym}, note=note)
        )
    return len(found)


def words_of(connection: Connection, person: Person) -> frozenset[str]:
    """What describes the person in the ledger: their address, names, and postal addresses."""
    people: list[Any] = [{"email": person.email}]
    people += connection.scalars(select(runs.c.learner).where(runs.c.id.in_(person.run_ids)))
    people += [row.learner for row in of_person(connection, person.email)]
    people += [
        {"name": name}
        for name in connection.scalars(select(completions.c.name).where(completions.c.email_key == person.email))
        if name != FORGOTTEN
    ]
    for document in _documents(connection, person).values():
        people += [
            {name: value for name, value in each.items() if name in _DESCRIBING}
            for each in people_of(document)
            if each and email_key(each.get("email") or each.get("buyer_email") or "") == person.email
        ]
    return (personal_words(*people) | _words_of_records(connection, person)) - {person.pseudonym}


def _words_of_records(connection: Connection, person: Person) -> frozenset[str]:
    """What the sources' records of the person's orders say of them, but not of others, beyond our documents."""
    found: frozenset[str] = frozenset()
    records = select(order_versions.c.raw, orders.c.buyer_email_key).join_from(order_versions, orders)
    for source, order_id in person.orders:
        one = records.where(orders.c.source == source, orders.c.order_id == order_id)
        for raw, buyer in connection.execute(one):
            found |= words_of_record(raw, None if buyer == person.email else person.email)
    return found


def addresses_beside(connection: Connection, person: Person) -> list[str]:
    """Other addresses under the person's own name in their orders: maybe theirs as well; nobody knows here."""
    found = [each for document in _documents(connection, person).values() for each in people_of(document) if each]
    known = [*found, *connection.scalars(select(runs.c.learner).where(runs.c.id.in_(person.run_ids)))]
    by_address = [(email_key(each.get("email") or each.get("buyer_email") or ""), _name_of(each)) for each in known]
    own = {name for address, name in by_address if address == person.email} - {""}
    return sorted({address for address, name in by_address if name in own} - {person.email, ""})


def _name_of(value: Mapping[str, Any]) -> str:
    name = value.get("buyer_name") or f"{value.get('first_name') or ''} {value.get('last_name') or ''}"
    return " ".join(name.casefold().split())


_DESCRIBING = frozenset({"email", "buyer_email", "first_name", "last_name", "name", "buyer_name", "address"})


def _documents(connection: Connection, person: Person) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for source, order_id in person.orders:
        document = connection.scalar(
            select(orders.c.document).where(orders.c.source == source, orders.c.order_id == order_id)
        )
        if document:
            found[source, order_id] = document
    return found


def _places(connection: Connection, person: Person) -> set[tombstones.Place]:
    """The person's places in orders: by our documents, and by the runs of seats that are gone from them."""
    found: set[tombstones.Place] = set()
    for (source, order_id), document in _documents(connection, person).items():
        found |= tombstones.places_of(document, source, order_id, person.email)
    columns = (runs.c.source, runs.c.order_id, runs.c.line_id, runs.c.seat_id)
    rows = connection.execute(
        select(*columns).where(runs.c.id.in_(person.run_ids), runs.c.order_id.is_not(None), runs.c.line_id != "-")
    )
    named = of_person(connection, person.email)
    return found | {tombstones.Place(row.source, row.order_id, row.line_id, row.seat_id) for row in [*rows, *named]}


def _forget_in_order(
    connection: Connection, source: str, order_id: str, person: Person, replace: Callable[[Any], Any]
) -> Counter[str]:
    """Our own document loses the person alone; what the source sent is dropped whole, as its form is not ours."""
    one = (orders.c.source == source, orders.c.order_id == order_id)
    row = connection.execute(select(orders).where(*one)).one_or_none()
    removed: Counter[str] = Counter()
    if row is None:  # a completion's run has none
        return removed
    document, slips = _without_given(
        row.document, given_to(connection, source, order_id, person.email), person.pseudonym
    )
    values: dict[str, Any] = {"document": hold_places(replace(document))}
    seated = [Learner.model_validate(each) for each in _learners_in(row.document)]
    theirs = [each for each in seated if email_key(each.email) == person.email]
    follow_erasure(connection, source, order_id, before=theirs, pseudonym=person.pseudonym)
    if row.buyer_email_key == person.email:
        values |= {"buyer_email": person.pseudonym, "buyer_email_key": person.pseudonym, "buyer_name": ""}
    removed["orders"] += connection.execute(update(orders).where(*one).values(**values)).rowcount
    removed["learners"] += sum(_forget_unused(connection, slip) for slip in sorted(slips))
    removed["order_versions"] += connection.execute(
        update(order_versions)
        .where(order_versions.c.source == source, order_versions.c.order_id == order_id)
        .values(raw={FORGOTTEN: True})
    ).rowcount
    for delivery in connection.execute(
        select(deliveries.c.id, deliveries.c.note).where(
            deliveries.c.source == source, deliveries.c.order_id == order_id
        )
    ).all():
        connection.execute(
            update(deliveries).where(deliveries.c.id == delivery.id).values(body=None, note=replace(delivery.note))
        )
        removed["deliveries"] += 1
    return removed


def _without_given(
    document: dict[str, Any], given: Collection[tuple[str, str]], name: str
) -> tuple[dict[str, Any], set[str]]:
    """The document without whom its source names, maybe by an address with a slip, where an operator named the person;
    and the keys of those addresses.

    So is it read from now on, as the place was the person's. A line that has another id by now is told by its seats.
    """
    if not given:
        return document, set()
    known = {str(line.get("id", "")) for line in document.get("lines", ())}
    moved = {seat_id for line_id, seat_id in given if line_id not in known}
    slips: set[str] = set()
    lines = []
    for line in document.get("lines", ()):
        seats = []
        for seat in line.get("seats", ()):
            is_theirs = (line.get("id"), seat.get("id")) in given or seat.get("id") in moved
            named = seat.get("learner") if is_theirs else None
            slips |= {email_key(named["email"])} if named else set()
            seats.append(seat | {"learner": {"email": name}} if named else seat)
        lines.append(line | {"seats": seats})
    return document | {"lines": lines}, slips


def _forget_unused(connection: Connection, key: str) -> int:
    """Take an address out of the learners that no run and no buyer has."""
    is_used = (
        select(runs.c.id).where(runs.c.email_key == key).limit(1),
        select(orders.c.order_id).where(orders.c.buyer_email_key == key).limit(1),
    )
    if any(connection.execute(each).first() is not None for each in is_used):
        return 0
    learner_id = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
    name = pseudonym(learner_id)
    forgotten = update(learners).where(learners.c.id == learner_id).values(email=name, email_key=name)
    return connection.execute(forgotten).rowcount


def _learners_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Whom an order's document names for its seats."""
    seats = [seat for line in document.get("lines", ()) for seat in line.get("seats", ())]
    return [seat["learner"] for seat in seats if seat.get("learner")]


def _forget_checkouts(connection: Connection, person: Person) -> int:
    """Who knows a checkout's address sees whose cart it is."""
    theirs = carts.c.run_id.in_(person.run_ids)
    forgotten = connection.execute(update(carts).where(theirs).values(checkout_url=None)).rowcount
    for step in connection.execute(select(steps).where(steps.c.run_id.in_(person.run_ids))).all():
        if "checkout_url" in (step.output or {}):
            output = {name: value for name, value in step.output.items() if name != "checkout_url"}
            one = (steps.c.run_id == step.run_id, steps.c.position == step.position)
            connection.execute(update(steps).where(*one).values(output=output))
    return forgotten


def _replacing(person: Person) -> Callable[[Any], Any]:
    """What puts the pseudonym for the email, wherever it stands in a text, a list or a mapping.

    A mapping whose own email is the person's (a learner, a buyer, an event) loses whatever else describes them.
    """
    pattern = whole_email(person.email)

    def named(match: re.Match[str]) -> str:
        return person.pseudonym if email_key(match[0]) == person.email else match[0]

    about = {"first_name": "", "last_name": "", "name": "", "buyer_name": "", "company": "", "address": None}

    def replace(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(named, normal_text(value))
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
