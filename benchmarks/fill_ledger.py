"""Fills a ledger with a year of a company's orders, for measuring: a million runs and what belongs to them.

    python benchmarks/fill_ledger.py --database-url postgresql+psycopg://… [--runs 1000000] [--seed 1]

It may be a SQLite file, too. The ledger must be empty; it is migrated first. The same seed makes the same ledger,
ending now. Indexes are dropped while the rows are copied, and made again afterwards; the foreign keys hold by
construction. On PostgreSQL more than a million runs are many years of a quarter of a million.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.earlier_years import add_earlier_years
from worker.ledger.search.texts import fill as fill_search_texts
from worker.ledger.session import Ledger

YEAR_SECONDS = 365 * 86_400
RUNS_PER_ORDER = 1.18
LEARNERS_PER_RUN = 0.6
BATCH_ORDERS = 5_000
MOST_IN_ONE_YEAR = 1_000_000
RUNS_OF_MANY_YEARS = 250_000
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
FIRST_NAMES = (
    "Jane", "Ola", "Ada", "Kari", "Grace", "Per", "Mary",
    "Linus", "Ingrid", "Alan", "Sofie", "Noor", "Émile",
)  # fmt: skip
LAST_NAMES = (
    "Doe", "Nordmann", "Byron", "Hopper", "Hansen", "Turing",
    "Berg", "O'Neill", "Lund", "Okafor", "Müller", "Li",
)  # fmt: skip
PRODUCTS = tuple((f"{1100 + number}", f"Course {number}: safety at work", 500 + number) for number in range(40))
STEPS = ("add_customer", "add_customer_to_group", "add_comped_order")
SOURCES = (("studiocart", 60), ("frontcore", 35), ("threedcart", 5))
STATES = (
    ("succeeded", 9660), ("cancelled", 200), ("review", 80), ("failed", 35), ("waiting", 20), ("pending", 4),
    ("running", 1),
)  # fmt: skip
REASONS = {
    "review": (("unmapped_product", 50), ("unnamed_seat", 20), ("missing_email", 8), ("shared_email", 6),
               ("refunded_after_provisioning", 8), ("outcome_unprovable", 4), ("renewal_undecided", 3),
               ("waiting_list", 1)),
    "failed": (("refused", 60), ("attempts_spent", 35), ("tls_failure", 5)),
    "cancelled": (("cancelled_by_source", 50), ("refunded_by_source", 30), ("superseded", 20)),
    "waiting": (("retrying", 90), ("settling", 10)),
}  # fmt: skip
OPEN_FOR_SECONDS = {"waiting": 3_600, "pending": 120, "running": 20}
"""Nothing is in these states for longer."""

COLUMNS = {
    "learners": "id email email_key",
    "orders": "source order_id state reason status payment buyer_email buyer_email_key buyer_name total_minor_units "
    "currency renewal document content_hash offers_digest version before_start created_at first_seen_at fetched_at "
    "updated_at",
    "order_versions": "source order_id number content_hash raw delivery_id seen_at",
    "deliveries": "id source order_id via actor state reason duplicate attempts replan received_at finished_at",
    "runs": "id key workflow state reason note source order_id line_id seat_id title email email_key learner grant "
    "lane generation result_id delivery_id fence system next_attempt_at dispatches created_at updated_at finished_at",
    "steps": "run_id position name state counted finished_at",
    "attempts": "run_id step number kind generation fence holder reference started_at finished_at outcome http_status "
    "error result_id",
    "events": "at kind actor run_id source order_id reason detail",
}
COPIED = {table: columns.split() for table, columns in COLUMNS.items()} | {
    "search_texts": ["id", "source", "record_id", "text"]
}

Row = tuple[Any, ...]
Target = psycopg.Connection[Any] | sqlite3.Connection
Add = Callable[[str, Row], None]


class _Placed(NamedTuple):
    """What a run needs to know of its order."""

    source: str
    order_id: str
    delivery_id: str
    came_at: datetime


class Company:
    """Tells the rows of one order after another, in the order in which they came."""

    def __init__(self, runs: int, *, seed: int, now: datetime) -> None:
        self._rng = random.Random(seed)
        self._now = now
        self._learners = max(1, int(runs * LEARNERS_PER_RUN))
        self._number = 0
        self._busy_lanes: set[int] = set()

    def learners(self) -> Iterator[Row]:
        """Every learner there is."""
        for number in range(self._learners):
            email = self._email(number)
            yield (f"l{number:019d}", email, email)

    def order(self, came_at: datetime, add: Add) -> int:
        """Add one order with all its rows; returns how many runs it has."""
        rng = self._rng
        self._number += 1
        source, order_id = self._pick(SOURCES), str(100_000 + self._number)
        delivery_id = self._id(came_at)
        buyer = rng.randrange(self._learners)
        count = 1 if rng.random() < 0.93 else rng.randint(2, 5)
        states = [self._state(came_at) for _ in range(count)]
        state, reason = ("planned", None) if rng.random() > 0.0005 else ("review", "unknown_status")
        seen_at = came_at + timedelta(seconds=0.6)
        name, email = self._name(buyer), self._email(buyer)
        add("orders", (
            source, order_id, state, reason, "paid", "paid", email, email, name,
            rng.randrange(5_000, 90_000), "USD", False, json.dumps({"lines": []}), "h", "d", 1, False,
            came_at - timedelta(seconds=30), seen_at, seen_at, seen_at,
        ))  # fmt: skip
        raw = json.dumps({"id": order_id, "product_id": "1107", "status": "paid", "customer_email": email})
        add("order_versions", (source, order_id, 1, "h", raw, delivery_id, seen_at))
        via = "webhook" if rng.random() < 0.8 else "poll"
        done_at = came_at + timedelta(seconds=0.9)
        add(
            "deliveries",
            (delivery_id, source, order_id, via, "source", "planned", None, False, 1, False, came_at, done_at),
        )
        if rng.random() < 0.3:
            again = came_at + timedelta(seconds=rng.randrange(5, 300))
            row = (self._id(again), source, order_id, "poll", "source", "planned", None, True, 1, False, again, again)
            add("deliveries", row)
        add(
            "events",
            (seen_at, "order_planned", "source", None, source, order_id, None, '{"state": "planned", "version": 1}'),
        )
        for seat, run_state in enumerate(states):
            learner = buyer if seat == 0 else rng.randrange(self._learners)
            self._run(_Placed(source, order_id, delivery_id, came_at), seat, learner, run_state, add)
        return count

    def _run(self, order: _Placed, seat: int, learner: int, state: str, add: Add) -> None:
        source, order_id, delivery_id, came_at = order
        rng = self._rng
        if state == "running":
            while learner in self._busy_lanes:
                learner = rng.randrange(self._learners)
            self._busy_lanes.add(learner)
        created_at = came_at + timedelta(seconds=0.9)
        run_id = self._id(created_at)
        product, title, price = PRODUCTS[min(len(PRODUCTS) - 1, int(rng.expovariate(0.15)))]
        seat_id = "buyer" if seat == 0 else f"seat-{seat + 1}"
        reason = self._pick(REASONS[state]) if state in REASONS else None
        took = timedelta(seconds=min(math.exp(rng.gauss(1.1, 0.9)), 6 * 3600.0))
        finished_at = created_at + took if state in {"succeeded", "failed", "cancelled"} else None
        effect = str(900_000 + self._number * 5 + seat) if state == "succeeded" else None
        first_name, _, last_name = self._name(learner).partition(" ")
        email = self._email(learner)
        add("runs", (
            run_id, f"{source}/{order_id}/{product}/{seat_id}/{price}", "enrolment", state, reason,
            None, source, order_id, product, seat_id, title, email, email,
            json.dumps({"email": email, "first_name": first_name, "last_name": last_name}, ensure_ascii=False),
            json.dumps({"price_id": price, "group_ids": [price % 7]}), f"l{learner:019d}", 0, effect, delivery_id, 1,
            None if state in {"review", "pending", "cancelled"} else "learningcart",
            self._now + timedelta(seconds=rng.randrange(-20, 1800)) if state in {"waiting", "pending"} else None,
            1, created_at, finished_at or created_at, finished_at,
        ))  # fmt: skip
        tried = {"succeeded": 3, "failed": rng.randint(1, 3), "waiting": rng.randint(1, 3), "running": 1}.get(state, 0)
        for position, step in enumerate(STEPS):
            is_done = position < tried - (state != "succeeded")
            ended_at = created_at + took * ((position + 1) / 3)
            add("steps", (run_id, position, step, "done" if is_done else "pending", 1, ended_at if is_done else None))
            if position < tried:
                self._attempts(run_id, step, ended_at, took, ok=is_done, effect=effect, state=state, add=add)
        add("events", (created_at, "run_planned", "source", run_id, source, order_id, None, "{}"))
        if finished_at is not None:
            add("events", (finished_at, f"run_{state}", "engine", run_id, source, order_id, reason, "{}"))

    def _attempts(
        self,
        run_id: str,
        step: str,
        ended_at: datetime,
        took: timedelta,
        *,
        ok: bool,
        effect: str | None,
        state: str,
        add: Add,
    ) -> None:
        began_at, number = ended_at - took / 4, 1
        if self._rng.random() < 0.02:
            error = "learningcart addCustomer: 503 Service Unavailable"
            add(
                "attempts",
                (run_id, step, 1, "call", 0, 1, "w1", None, began_at, began_at, "retryable", 503, error, None),
            )
            number = 2
        outcome = "ok" if ok else {"failed": "final", "running": None}.get(state, "retryable")
        status = 200 if ok else None if outcome is None else 400
        reference = f"cb-{run_id[-12:]}" if step == STEPS[-1] else None
        result = effect if step == STEPS[-1] else None
        finished_at = None if outcome is None else ended_at
        add("attempts", (
            run_id, step, number, "call", 0, 1, "w1", reference, began_at, finished_at, outcome, status,
            None if ok else "refused", result,
        ))  # fmt: skip

    def _state(self, came_at: datetime) -> str:
        while True:
            state = self._pick(STATES)
            longest = OPEN_FOR_SECONDS.get(state)
            if longest is None:
                return state
            # The year's share of what is under way is under way now.
            if (self._now - came_at).total_seconds() < longest * 24:
                return state

    def _pick(self, weighted: tuple[tuple[str, int], ...]) -> str:
        left = self._rng.random() * sum(weight for _, weight in weighted)
        for value, weight in weighted:
            left -= weight
            if left < 0:
                return value
        return weighted[-1][0]

    def _name(self, learner: int) -> str:
        return f"{FIRST_NAMES[learner % 13]} {LAST_NAMES[(learner // 13) % 12]}"

    def _email(self, learner: int) -> str:
        return f"{FIRST_NAMES[learner % 13].lower()}.{learner}@company-{learner % 997}.example"

    def _id(self, moment: datetime) -> str:
        milliseconds = int(moment.timestamp() * 1000)
        chance = self._rng.getrandbits(50)
        head = "".join(ALPHABET[(milliseconds >> shift) & 31] for shift in range(45, -1, -5))
        return head + "".join(ALPHABET[(chance >> shift) & 31] for shift in range(45, -1, -5))


def moments(orders: int, *, now: datetime, seed: int) -> list[datetime]:
    """When the year's orders came, oldest first: more by day than by night, and a steady trickle up to now."""
    rng = random.Random(seed + 1)
    found: list[datetime] = []
    while len(found) < orders:
        moment = now - timedelta(seconds=rng.random() * YEAR_SECONDS)
        if rng.random() < 0.15 + 0.85 * max(0.0, math.sin((moment.hour - 5) / 17 * math.pi)):
            found.append(moment)
    return sorted(found)


def fill(database_url: str, runs: int, *, seed: int) -> None:
    """Migrate, fill, and analyse."""
    ledger = Ledger(database_url)
    ledger.migrate()
    years = math.ceil(runs / RUNS_OF_MANY_YEARS) if runs > MOST_IN_ONE_YEAR and not ledger.is_sqlite else 1
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _connect(database_url) as connection, Progress(*columns) as progress:
        definitions = drop_indexes(connection)
        _fill_year(connection, runs // years, seed, progress)
        connection.commit()
        texts = progress.add_task("search texts", total=1)
        with ledger.write() as writing_texts:
            fill_search_texts(writing_texts)
        progress.update(texts, completed=1)
        if isinstance(connection, psycopg.Connection) and years > 1:
            copying = progress.add_task("earlier years", total=(years - 1) * len(COPIED))
            add_earlier_years(connection, COPIED, years - 1, lambda: progress.advance(copying))
        indexing = progress.add_task("indexes", total=len(definitions))
        for definition in definitions:
            connection.execute(definition)
            progress.advance(indexing)
        connection.commit()
        if isinstance(connection, sqlite3.Connection):
            connection.execute("ANALYZE")
        else:
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
    ledger.close()


def _fill_year(connection: Target, runs: int, seed: int, progress: Progress) -> None:
    now = datetime.now(UTC)
    company = Company(runs, seed=seed, now=now)
    copying = progress.add_task("learners", total=int(runs * LEARNERS_PER_RUN))
    copy(connection, "learners", company.learners())
    progress.update(copying, completed=int(runs * LEARNERS_PER_RUN))
    writing = progress.add_task("orders and their runs", total=runs)
    made = 0
    batch: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    for number, moment in enumerate(moments(int(runs / RUNS_PER_ORDER), now=now, seed=seed), start=1):
        made += company.order(moment, lambda table, row: batch[table].append(row))
        if number % BATCH_ORDERS == 0:
            flush(connection, batch)
            progress.update(writing, completed=made)
    flush(connection, batch)
    progress.update(writing, completed=made, total=made)


def _connect(database_url: str) -> Target:
    """A connection that checks neither foreign keys nor what may be changed: here they would check what we made."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(url.database))
        connection.execute("PRAGMA synchronous=OFF")
        return connection
    target = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(target, options="-c session_replication_role=replica")


def drop_indexes(connection: Target) -> list[Any]:
    """Drop those that are not a primary key's; returns how to make them again."""
    if isinstance(connection, sqlite3.Connection):
        asked = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        found = connection.execute(asked).fetchall()
        for name, _ in found:
            connection.execute(f"DROP INDEX {name}")
        return [definition for _, definition in found]
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE 'pk_%%' "
        "AND tablename = ANY(%s)",
        [list(COPIED)],
    ).fetchall()
    for name, _ in found:
        connection.execute(psycopg.sql.SQL("DROP INDEX {}").format(psycopg.sql.Identifier(name)))
    return [definition.encode() for _, definition in found]


def flush(connection: Target, batch: dict[str, list[Row]]) -> None:
    """Copy what was gathered, and begin anew."""
    for table, rows in batch.items():
        if rows:
            copy(connection, table, rows)
            rows.clear()


def copy(connection: Target, table: str, rows: Any) -> None:
    """Copy rows as text, on PostgreSQL: five times as fast as row by row."""
    columns = COLUMNS[table].split()
    names = ", ".join(f'"{name}"' for name in columns)
    if isinstance(connection, sqlite3.Connection):
        places = ", ".join("?" * len(columns))
        stored = (tuple(map(kept, row)) for row in rows)
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", stored)  # noqa: S608 -- our own names
        return
    lines = "".join("\t".join(map(written, row)) + "\n" for row in rows)
    with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN".encode()) as sink:
        sink.write(lines)


def kept(value: object) -> object:
    """A value as our SQLite files hold it: moments without their zone, which is UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value


def written(value: object) -> str:
    """A value as COPY reads it. Nothing of ours holds a backslash or a tab."""
    if value is None:
        return "\\N"
    if value is True or value is False:
        return "t" if value else "f"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def main() -> None:
    """Read the arguments and fill."""
    parser = argparse.ArgumentParser(description="Fill a ledger with a year of orders.")
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    begun = time.monotonic()
    fill(arguments.database_url, arguments.runs, seed=arguments.seed)
    print(f"filled in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
