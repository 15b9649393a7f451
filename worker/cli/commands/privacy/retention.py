"""`cartbridge retention`: drop now what was kept for as long as the settings say, as beat does daily."""

from __future__ import annotations

import typer

from worker.cli.arguments import AsJson, DryRun, Yes
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import opening_of
from worker.cli.output import note, print_json


def retention_command(
    context: typer.Context, *, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Drop what is older than the settings say, as is done daily, and rewrite the ledger's file on SQLite.

    Sources' records of orders, deliveries, texts of errors and reasons, names of completions. Who was given what, when,
    and by which order stays.
    """
    from tasks.retention import retention_days
    from worker.ledger.compaction import rewrite_file
    from worker.ledger.learners import retention

    must_be_askable(yes=yes or dry_run)
    with opening_of(context).runtime() as runtime:
        now, days = runtime.clock(), retention_days(runtime.settings)
        found = retention.count_expired(runtime.ledger, days, now=now)
        if dry_run:
            _print(found, "Older than it should be", as_json=as_json)
            return
        if any(found.values()):
            if not as_json:
                _print(found, "Older than it should be", as_json=False)
            ask("It cannot be undone. Drop it?", yes=yes)
        done = retention.expire(
            runtime.ledger, days, now=now, progress=lambda name, count: note(f"{name}: {count} of {found[name]}")
        )
        rewrite_file(runtime.ledger)
        _print(done, "Dropped", as_json=as_json)


def _print(found: dict[str, int], title: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())
    typer.echo(f"{title}: {counts or 'nothing, as every setting of CARTBRIDGE_RETENTION__ is 0'}.")
