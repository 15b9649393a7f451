"""Reading the logs of a chaos run: secrets and tracebacks are found wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.chaos.log_reading import read_logs

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n'


def entry(text: str, logger: str = "celery.app.trace") -> str:
    return json.dumps({"logger": logger, "event": "raised", "exception": text}) + "\n"


def test_secret_is_told_by_its_place_when_a_line_holds_it(tmp_path: Path) -> None:
    (tmp_path / "1-web.log").write_text("all is well\nthe password is chaos-secret-x\n")
    reading = read_logs(tmp_path.glob("*.log"), ["chaos-secret-"])
    assert reading.leaks == ["1-web.log:2"]
    assert reading.lines == 2


def test_traceback_is_expected_only_when_a_server_was_away(tmp_path: Path) -> None:
    away = TRACEBACK + "sqlalchemy.exc.OperationalError: (psycopg.OperationalError) connection failed\n"
    (tmp_path / "1-worker.log").write_text(entry(away) + entry(away) + entry(TRACEBACK + "KeyError: 'x'", "tasks"))
    reading = read_logs(tmp_path.glob("*.log"), [])
    assert reading.expected == {"sqlalchemy.exc.OperationalError (celery.app.trace)": 2}
    assert reading.unexpected == {"KeyError (tasks)": 1}


def test_last_error_counts_when_one_was_raised_from_another(tmp_path: Path) -> None:
    text = (
        f"{TRACEBACK}psycopg.OperationalError: gone\n\nThe above exception was the cause\n\n{TRACEBACK}ValueError: x\n"
    )
    (tmp_path / "1-worker.log").write_text(entry(text))
    assert read_logs(tmp_path.glob("*.log"), []).unexpected == {"ValueError (celery.app.trace)": 1}


def test_traceback_is_found_when_python_printed_it_past_our_logging(tmp_path: Path) -> None:
    (tmp_path / "1-beat.log").write_text(f"{entry('')}{TRACEBACK}RuntimeError: printed\n")
    assert read_logs(tmp_path.glob("*.log"), []).unexpected == {"RuntimeError (stderr)": 1}
