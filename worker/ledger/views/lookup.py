"""Finding what a person names loosely: a run by the beginning of its id or by its key, and the nearest names else."""

from __future__ import annotations

import difflib
from typing import Any, Final

from sqlalchemy import Connection, or_, select

from worker.errors import NotInLedgerError
from worker.ledger.tables.runs import deliveries, learners, orders, runs
from worker.settings.settings import SOURCES
from worker.sources.order import email_key

SHORTEST_PREFIX = 4
"""Fewer characters of an id are taken for a slip."""
_MOST_MATCHES = 10
_NEAR_ROWS = 500


def find_runs(connection: Connection, text: str) -> list[str]:
    """The ids of the runs a text names, newest first, ten at most: by whole id, by whole key, or by an id's beginning.

    A whole id or key names one run alone. Empty when it names none.
    """
    wanted = text.strip()
    exact = connection.scalar(select(runs.c.id).where(or_(runs.c.id == wanted.lower(), runs.c.key == wanted)))
    if exact is not None:
        return [str(exact)]
    return _by_prefix(connection, runs.c.id, wanted)


def one_run(connection: Connection, text: str) -> str:
    """The id of the one run a text names. Raises `NotInLedgerError` for none, saying what is near, and for several."""
    return _one(connection, "run", text, find_runs(connection, text))


def one_delivery(connection: Connection, text: str) -> str:
    """The id of the one delivery a text names, as `one_run`."""
    wanted = text.strip().lower()
    exact = connection.scalar(select(deliveries.c.id).where(deliveries.c.id == wanted))
    found = [str(exact)] if exact is not None else _by_prefix(connection, deliveries.c.id, wanted)
    return _one(connection, "delivery", text, found)


def one_order(connection: Connection, text: str) -> tuple[str, str]:
    """The source and id of the one order a text names, whole or by its number alone. Raises `NotInLedgerError`."""
    wanted = text.strip()
    source, slash, order_id = wanted.partition("/")
    sources = (source.lower(),) if slash else SOURCES
    number = order_id if slash else wanted
    found = connection.execute(
        select(orders.c.source, orders.c.order_id).where(orders.c.source.in_(sources), orders.c.order_id == number)
    ).all()
    if not found:
        raise not_found(connection, "order", text)
    if len(found) > 1:
        shown = " or ".join(f"{row.source}/{row.order_id}" for row in found)
        raise NotInLedgerError(f"{text!r} may be {shown}. Give the source too.")
    return found[0].source, found[0].order_id


def suggestions(connection: Connection, text: str, *, limit: int = 3) -> list[str]:
    """What a name that is not in the ledger may have been meant for: emails, orders, or runs, nearest first."""
    wanted = text.strip()
    if "@" in wanted:
        return _nearest(email_key(wanted), _emails_near(connection, email_key(wanted)), limit)
    known = {
        f"{row.source}/{row.order_id}"
        for row in connection.execute(
            select(orders.c.source, orders.c.order_id).where(
                orders.c.source.in_(SOURCES), orders.c.order_id == wanted.rpartition("/")[2]
            )
        )
    }
    near = _nearest(wanted, _recent_names(connection, slashes=wanted.count("/")), limit)
    return [*sorted(known), *(name for name in near if name not in known)][:limit]


def _recent_names(connection: Connection, *, slashes: int) -> list[str]:
    """Run ids for a name without a slash, orders for one with one, run keys for more."""
    if slashes == 1:
        latest = select(orders.c.source, orders.c.order_id).order_by(orders.c.updated_at.desc()).limit(_NEAR_ROWS)
        return [f"{row.source}/{row.order_id}" for row in connection.execute(latest)]
    column = runs.c.key if slashes else runs.c.id
    return list(connection.scalars(select(column).order_by(runs.c.created_at.desc()).limit(_NEAR_ROWS)))


_LISTS: Final = {"run": "runs", "order": "orders", "delivery": "deliveries"}


def not_found(connection: Connection, what: str, text: str, *, otherwise: str = "") -> NotInLedgerError:
    """The error for a name that is not in the ledger, with what may have been meant, `otherwise` with what to do."""
    gone = forgotten(connection, text)
    if gone is not None:
        return NotInLedgerError(gone)
    near = suggestions(connection, text)
    if near:
        step = f" Did you mean {' or '.join(near)}?"
    else:
        step = otherwise or (f" See: cartbridge {_LISTS[what]} list" if what in _LISTS else "")
    return NotInLedgerError(f"There is no {what} {text!r} in the ledger.{step}")


def forgotten(connection: Connection, text: str) -> str | None:
    """That the person of an email was forgotten, and when, in a sentence; None where nobody of it was."""
    from worker.ledger.learners.tombstones import tombstones_by_key  # noqa: PLC0415 -- four tables, and only here

    key = email_key(text)
    found = tombstones_by_key(connection, [key]).get(key) if "@" in key else None
    if not found:
        return None
    when = f"{max(each.erased_at for each in found):%Y-%m-%d}"
    return f"{text.strip()} was forgotten on {when}: the ledger holds nothing of them, and gives them nothing older."


def _by_prefix(connection: Connection, column: Any, text: str) -> list[str]:
    if len(text) < SHORTEST_PREFIX:
        return []
    query = select(column).where(column.startswith(text.lower(), autoescape=True))
    return list(connection.scalars(query.order_by(column.desc()).limit(_MOST_MATCHES)))


def _one(connection: Connection, what: str, text: str, found: list[str]) -> str:
    if not found:
        raise not_found(connection, what, text)
    if len(found) > 1:
        shown = ", ".join(found[:3])
        raise NotInLedgerError(f"{text!r} begins the id of more than one {what} ({shown}, …). Give more of it.")
    return found[0]


def _emails_near(connection: Connection, email: str) -> list[str]:
    """Emails of the same domain or with the same beginning."""
    name, _, domain = email.partition("@")
    found: set[str] = set()
    for like in (
        learners.c.email_key.startswith(name[:3], autoescape=True),
        learners.c.email_key.endswith(domain, autoescape=True),
    ):
        found.update(connection.scalars(select(learners.c.email_key).where(like).limit(_NEAR_ROWS)))
    return sorted(found)


def _nearest(text: str, names: list[str], limit: int) -> list[str]:
    return difflib.get_close_matches(text, names, n=limit, cutoff=0.6)
