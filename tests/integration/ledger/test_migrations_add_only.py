"""What an older version reads and writes is still there and still allowed after each migration: `docs/upgrading.md`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from worker.ledger.session import Ledger

pytestmark = pytest.mark.integration

MIGRATIONS = Path(__file__).parents[3] / "migrations"
REVISIONS = [each.revision for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]

FIRST_TOLERANT = "0009"
"""The first version that asks a newer schema whether it may work on it."""


@dataclass(frozen=True)
class Table:
    """What a statement on a table has to do with."""

    columns: dict[str, Any]
    unique: set[tuple[str, ...]]
    foreign: set[tuple[str, ...]]


def schema(connection: Connection) -> dict[str, Table]:
    found = inspect(connection)
    return {
        name: Table(
            columns={column["name"]: column for column in found.get_columns(name)},
            unique={
                tuple(str(column) for column in each["column_names"])
                for each in cast(
                    "list[dict[str, Any]]", [*found.get_unique_constraints(name), *found.get_indexes(name)]
                )
                if each.get("unique", True)
            },
            foreign={tuple(each["constrained_columns"]) for each in found.get_foreign_keys(name)},
        )
        for name in found.get_table_names()
    }


def refusals(before: dict[str, Table], after: dict[str, Table]) -> Iterator[str]:
    """Why statements of the version before would fail."""
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"{name} is gone"
            continue
        for column, was in old.columns.items():
            now = new.columns.get(column)
            if now is None:
                yield f"{name}.{column} is gone"
            elif str(now["type"]) != str(was["type"]):
                yield f"{name}.{column} was {was['type']} and is {now['type']}"
            elif was["nullable"] and not now["nullable"]:
                yield f"{name}.{column} may not be empty any more"
        for column, made in new.columns.items():
            if column not in old.columns and not made["nullable"] and made["default"] is None:
                yield f"{name}.{column} is new, and the older version leaves it empty"
        for rule, more in (("unique", new.unique - old.unique), ("foreign key", new.foreign - old.foreign)):
            # One on a new column asks nothing of rows that leave it empty.
            yield from (f"{name} has a new {rule} {columns}" for columns in more if set(columns) <= old.columns.keys())


def test_the_older_version_can_go_on_when_a_migration_was_run(database_url: str) -> None:
    ledger = Ledger(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    before: dict[str, Table] = {}
    for revision in REVISIONS:
        with ledger.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        with ledger.read() as connection:
            after = schema(connection)
        assert list(refusals(before, after)) == [], revision
        before = after
    ledger.close()
    assert {"runs", "orders", "attempts"} <= before.keys()


def test_every_migration_says_what_it_tolerates_when_older_versions_ask() -> None:
    """From the first on whose version asks; what is said is a revision not after the migration's own."""
    script = ScriptDirectory(str(MIGRATIONS))
    for revision in REVISIONS[REVISIONS.index(FIRST_TOLERANT) :]:
        found = script.get_revision(revision)
        assert found is not None
        assert found.module.tolerates in REVISIONS[: REVISIONS.index(revision) + 1], revision
