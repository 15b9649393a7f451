"""What a failed command says and exits with: 1 for what failed or was not found, 2 for usage and configuration."""

from __future__ import annotations

import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from worker.cli.context import Opening
from worker.cli.terminal import fitted
from worker.errors import CartbridgeError, ConfigurationError
from worker.text.control_characters import CONTROL_CHARACTERS

FAILED = 1
MISUSED = 2
_REFUSALS: Final = {
    "ReadOnlySqlTransaction": ("only reads", "Is it a replica? CARTBRIDGE_DATABASE_URL must name the primary."),
    "QueryCanceled": ("ended a statement", "Is a statement_timeout set for its role or database? Raise it."),
    "DiskFull": ("takes no writes", "Its server's disk is full."),
}
"""What PostgreSQL refuses though it answers, and what to do, by the kind of the refusal."""


class ExplainingGroup(TyperGroup):
    """The root command: errors Cartbridge knows become a sentence on stderr and an exit code, never a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an argument that is no text: the system gives it as halves of characters, which no ledger takes."""
        if any("\ud800" <= letter <= "\udfff" for each in args for letter in each):
            complain("An argument is not UTF-8 text. Give it once more, in a terminal that speaks UTF-8.")
            raise typer.Exit(MISUSED)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exits 2 on `ConfigurationError`, 1 on any other `CartbridgeError` and a lost ledger."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            ctx.obj.say_where_it_is()
            complain(str(error))
            raise typer.Exit(MISUSED) from None
        except CartbridgeError as error:
            ctx.obj.say_where_it_is()
            complain(str(error))
            raise typer.Exit(FAILED) from None
        except Exception as error:
            if not _is_ledger_failure(error):
                raise
            complain(_lost_ledger(ctx.obj, error))
            raise typer.Exit(FAILED) from None


def complain(sentence: str) -> None:
    """Say on stderr what went wrong."""
    typer.secho(fitted(sentence.translate(CONTROL_CHARACTERS), sys.stderr), fg=typer.colors.RED, err=True)


def _is_ledger_failure(error: Exception) -> bool:
    # Only a command that has loaded SQLAlchemy can fail by it; others are spared the import.
    module = sys.modules.get("sqlalchemy.exc")
    return module is not None and isinstance(error, module.SQLAlchemyError)


def _lost_ledger(opening: Opening, error: Exception) -> str:
    """Names the kind of failure alone: a driver's own text may hold values."""
    from worker.text.redaction import redact

    settings = opening.settings
    label = redact(settings.shown_database_url, settings.secret_values())
    kind = type(getattr(error, "orig", None) or error).__name__
    what, step = _REFUSALS.get(
        kind,
        (
            "cannot be reached",
            "Is the file writable, and its disk not full?"
            if settings.on_sqlite
            else "Is the database running, and CARTBRIDGE_DATABASE_URL right?",
        ),
    )
    return f"The ledger {label} {what} ({kind}). {step} See: cartbridge check"
