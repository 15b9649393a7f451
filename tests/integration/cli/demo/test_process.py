from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from worker.cli.demo.process import DemoError, ProductProcess, write_settings
from worker.settings.settings import load_settings


class StandIn:
    """A process that runs until it is told to end."""

    def __init__(self, command: tuple[str, ...], **options: Any) -> None:
        self.command, self.options = command, options
        self.code: int | None = None
        self.deaf = False

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("up", timeout or 0)
        return self.code

    def terminate(self) -> None:
        if not self.deaf:
            self.code = 0

    def kill(self) -> None:
        if self.code is None:
            self.code = -9


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    processes: list[StandIn] = []

    def start(command: tuple[str, ...], **options: Any) -> StandIn:
        processes.append(StandIn(command, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


def test_environment_is_made_from_nothing_when_started(
    started: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_DATABASE_URL", "sqlite:///mine.db")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    product = ProductProcess(tmp_path, 8123)
    product.start()
    environment = started[0].options["env"]
    assert set(environment) <= {"PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "PYTHONPATH"}
    assert started[0].options["cwd"] == tmp_path
    assert started[0].command[-1] == "up"


def test_process_is_killed_and_forgotten_when_asked_to_kill(started: list[StandIn], tmp_path: Path) -> None:
    product = ProductProcess(tmp_path, 8123)
    product.kill()  # nothing to kill
    product.start()
    product.kill()
    assert started[0].code == -9
    assert product.kills == 1
    product.check()
    product.stop()


def test_death_is_an_error_when_nobody_asked_for_it(started: list[StandIn], tmp_path: Path) -> None:
    product = ProductProcess(tmp_path, 8123)
    product.start()
    product.check()
    started[0].code = 2
    with pytest.raises(DemoError, match="ended by itself with exit code 2"):
        product.check()


def test_process_is_gone_after_a_stop_whether_it_obeys_or_not(started: list[StandIn], tmp_path: Path) -> None:
    product = ProductProcess(tmp_path, 8123)
    product.start()
    product.stop()
    product.stop()
    assert started[0].code == 0
    product.start()
    started[1].deaf = True
    product.stop()
    assert started[1].code == -9


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False), (None, False)])
def test_readiness_is_what_the_process_says_when_asked(
    status: int | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(session: requests.Session, method: str, url: str, **_: Any) -> requests.Response:
        assert (method, url) == ("GET", "http://127.0.0.1:8123/readyz")
        assert not session.trust_env
        if status is None:
            raise requests.ConnectionError
        answer = requests.Response()
        answer.status_code = status
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    assert ProductProcess(tmp_path, 8123).is_ready() is expected


def test_settings_are_read_as_they_were_written_when_they_hold_quotes(tmp_path: Path) -> None:
    path = write_settings(
        tmp_path, {"CARTBRIDGE_OFFERS_FILE": "/tmp/o'brien\\s/offers.toml", "CARTBRIDGE_WEB__PORT": "8123"}
    )
    settings = load_settings({}, env_file=path)
    assert str(settings.offers_file) == "/tmp/o'brien\\s/offers.toml"
    assert settings.web.port == 8123
