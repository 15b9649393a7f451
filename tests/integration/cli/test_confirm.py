from __future__ import annotations

import pytest
import typer

from worker.cli import confirm


def test_nobody_is_asked_when_the_answer_was_given_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "is_terminal", lambda: pytest.fail("was asked"))
    confirm.ask("Really?", yes=True)


def test_it_is_misuse_when_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "is_terminal", lambda: False)
    with pytest.raises(typer.Exit) as ended:
        confirm.ask("Really?", yes=False)
    assert ended.value.exit_code == 2


def test_stdin_tells_whether_there_is_somebody_when_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert confirm.is_terminal()
