from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from tests.integration.cli.conftest import Run
from worker.cli import errors as failures
from worker.cli.app import app, main
from worker.cli.context import Opening, current_actor
from worker.cli.errors import ExplainingGroup
from worker.errors import LedgerError
from worker.ledger.session import Ledger

COMMANDS = {
    "demo", "up", "web", "worker", "beat", "sandbox", "migrate", "check", "status", "deliveries", "orders", "runs",
    "why", "ingest", "backfill", "reconcile", "recover", "replay", "pause", "resume", "offers", "completions", "forget",
    "export", "retention", "seats", "init",
}  # fmt: skip


def test_every_command_is_named_and_no_other_when_help_is_asked_for(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.output


def test_the_version_is_printed_when_asked_for(run: Run) -> None:
    for option in ("--version", "-V"):
        result = run(option)
        assert (result.exit_code, result.stdout) == (0, "cartbridge 0.1.0\n")


def test_nothing_heavy_is_imported_when_only_help_is_asked_for() -> None:
    code = (
        "import sys\nfrom worker.cli.app import app\n"
        "heavy = {'sqlalchemy', 'celery', 'pydantic', 'fastapi', 'requests', 'alembic'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False, env=os.environ.copy()
    )
    assert done.returncode == 0, done.stderr


_SERVING = {"celery", "kombu", "redis", "fastapi", "uvicorn", "jinja2", "alembic", "apprise", "pycountry", "requests"}
_HEAVY = {*_SERVING, "cryptography", "structlog", "prometheus_client", "argon2", "opentelemetry"}


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("-V", {*_HEAVY, "sqlalchemy", "pydantic"}),
        ("why jane", _HEAVY),
        ("status", _HEAVY),
        ("runs list", _HEAVY),
        ("orders list", _HEAVY),
        ("deliveries list", _HEAVY),
        ("offers unmapped", _HEAVY),
    ],
)
def test_a_command_imports_what_it_needs_when_it_runs(
    command: str, spared: set[str], ledger: Ledger, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom worker.cli.app import main\n"
        "try:\n    main()\n"
        f"finally:\n    print(sorted({spared!r} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_story_imports_no_table_and_no_view_that_it_is_not_made_from() -> None:
    tables = {f"worker.ledger.tables.{name}" for name in ("follow_on", "learners", "ledger", "periodic", "web")}
    spared = {*tables, "worker.ledger.views.overview", "worker.ledger.views.details", "workflows.planning.offers"}
    code = (
        "import sys, worker.ledger.views.history, workflows.planning.offers_problem\n"
        f"print(sorted({spared!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_process_that_stays_imports_what_it_needs_when_it_starts() -> None:
    spared = {"redis", "apprise", "alembic", "psycopg", "opentelemetry.sdk"}
    code = f"import sys, worker.cli.processes\nprint(sorted({spared!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


_WATCHED_COLLECTOR = """
import gc
from worker.cli.app import main
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
try:
    main()
finally:
    print(len(looks), gc.get_freeze_count() > 100_000)
    gc.callbacks.clear()
"""


def test_no_garbage_is_looked_for_when_a_short_command_runs_or_ends(ledger: Ledger) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED_COLLECTOR, "status"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout.splitlines()[-1] == "0 True", done.stderr


def test_the_exit_code_is_2_when_a_command_is_misused(run: Run) -> None:
    for arguments in (("no-such",), ("runs", "show"), ("runs", "list", "--state", "odd"), ("pause", "studiocart")):
        assert run(*arguments).exit_code == 2, arguments


def test_the_settings_problem_is_told_without_a_traceback_when_a_variable_is_unknown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_LEASE_SECOND", "1")
    result = run("status")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "CARTBRIDGE_LEASE_SECONDS" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_come_from_the_named_file_when_one_is_given(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    env_file = tmp_path / "other.env"
    env_file.write_text("CARTBRIDGE_DATABASE_URL=sqlite:///elsewhere.db\n")
    result = run("--env-file", str(env_file), "status")
    assert result.exit_code == 2
    assert "elsewhere.db does not exist yet. Run: cartbridge migrate" in result.stderr
    assert run("status").exit_code == 0
    assert run("--env-file", "missing.env", "status").exit_code == 2


def test_the_command_to_run_is_named_when_the_ledger_is_not_migrated(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cartbridge.db").touch()
    for command in (("status",), ("runs", "list"), ("replay", "abcd"), ("why", "a@b.example"), ("orders", "list")):
        result = run(*command)
        assert result.exit_code == 2, command
        assert "Run: cartbridge migrate" in result.stderr


def test_the_ledger_is_named_without_its_password_when_it_cannot_be_reached(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_DATABASE_URL", "postgresql://me:s3cret-pass@127.0.0.1:1/ledger")

    def fail(self: Ledger) -> None:
        raise OperationalError("SELECT s3cret-row", {}, OSError("password s3cret-pass refused"))

    monkeypatch.setattr(Ledger, "check_schema", fail)
    result = run("status")
    assert result.exit_code == 1
    assert "127.0.0.1:1/ledger cannot be reached (OSError). Is the database running" in result.stderr
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (psycopg.errors.ReadOnlySqlTransaction, "only reads (ReadOnlySqlTransaction). Is it a replica?"),
        (psycopg.errors.QueryCanceled, "ended a statement (QueryCanceled). Is a statement_timeout set"),
        (psycopg.errors.DiskFull, "takes no writes (DiskFull). Its server's disk is full."),
    ],
)
def test_a_ledger_that_answers_and_refuses_is_not_called_unreachable(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], said: str
) -> None:
    monkeypatch.setenv("CARTBRIDGE_DATABASE_URL", "postgresql://me:s3cret-pass@127.0.0.1:1/ledger")

    def fail(self: Ledger) -> None:
        raise OperationalError("UPDATE", {}, kind("refused"))

    monkeypatch.setattr(Ledger, "check_schema", fail)
    assert said in run("status").stderr


def test_a_broken_ledger_file_is_told_when_it_is_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cartbridge.db").write_bytes(b"this is no database" * 100)
    result = run("runs", "list")
    assert result.exit_code == 1
    assert "sqlite:///cartbridge.db cannot be reached (DatabaseError). Is the file writable" in result.stderr


def test_an_error_of_ours_exits_1_and_any_other_is_raised_when_a_command_fails() -> None:
    failing = typer.Typer(cls=ExplainingGroup)

    @failing.callback()
    def root(context: typer.Context) -> None:
        context.obj = Opening()

    @failing.command()
    def ours() -> None:
        raise LedgerError("the rule")

    @failing.command()
    def foreign() -> None:
        raise ZeroDivisionError

    result = CliRunner().invoke(failing, ["ours"])
    assert result.exit_code == 1
    # Another line may tell of a Cartbridge that runs on this machine.
    assert "the rule" in result.stderr.splitlines()
    assert isinstance(CliRunner().invoke(failing, ["foreign"]).exception, ZeroDivisionError)


def test_sqlalchemy_is_not_asked_for_when_no_command_has_loaded_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sqlalchemy.exc")
    assert not failures._is_ledger_failure(ZeroDivisionError())


def test_main_runs_the_command_line_of_the_process_when_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cartbridge", "--version"])
    hook = sys.excepthook
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == "cartbridge 0.1.0\n"
    assert sys.excepthook is hook


def test_the_actor_is_the_user_of_the_operating_system_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    assert current_actor() == "operator:bob"

    def nobody(*_: Any) -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert current_actor() == "operator:unknown"


def test_no_help_loses_its_brackets_when_it_is_shown(run: Run) -> None:
    assert "[[follow_on]]" in run("completions", "follow", "--help").output
    root = typer.main.get_command(app)
    for path in _paths(root, ()):
        shown = run(*path, "--help").output
        assert "[]" not in shown, path
        assert "\\[" not in shown, path


def test_no_help_is_cut_off_when_the_terminal_has_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    for path in _paths(typer.main.get_command(app), ()):
        shown = run(*path, "--help").output.replace("CARTBRIDGE_…", "")
        assert "…" not in shown, path
        assert "[[RUN]" not in shown, path
        assert "|" not in shown.replace("ORDER|RUN", ""), path  # a choice's values, which squeeze what is told of it
    shown = run("completions", "follow", "--help").output
    assert "A learner gets one cart for one item" in shown  # whose source line ends after "learner"


def _paths(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    return [path, *(found for name, each in below.items() for found in _paths(each, (*path, name)))]
