from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import typer

from tests.integration.cli.conftest import Run
from worker.cli.commands.sandbox import parse_fault
from worker.sandbox import Fault


class FakeSandbox:
    base_url = "http://127.0.0.1:1"
    control_url = "http://127.0.0.1:1/_sandbox"

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def inject(self, *faults: Fault) -> None:
        self.faults += faults

    def environment(self, **overrides: str) -> dict[str, str]:
        return {"CARTBRIDGE_STUDIOCART__API_KEY": "a key"} | overrides


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> FakeSandbox:
    """Stops by the signal that the operating system sends."""
    fake = FakeSandbox()

    def serve(*, host: str, port: int, on_ready: Callable[[Any], None], stop: threading.Event) -> None:
        if port == 1:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        on_ready(fake)
        if port == 2:
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(60)

    monkeypatch.setattr("worker.sandbox.serve_forever", serve)
    return fake


def test_the_variables_are_printed_and_it_ends_well_when_told_to_stop(run: Run, sandbox: FakeSandbox) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = run("sandbox", "--latency", "0.5", "--fault", "learningcart:addCompOrder:cut,times=2")
    assert result.exit_code == 0
    assert result.stdout == (
        "export CARTBRIDGE_STUDIOCART__API_KEY='a key'\nexport CARTBRIDGE_STUDIOCART__START_AT=2020-01-01\n"
    )
    assert "http://127.0.0.1:1/_sandbox" in result.stderr
    assert sandbox.faults == [
        Fault(system="learningcart", operation="addCompOrder", kind="cut", times=2),
        Fault(kind="slow", seconds=0.5, times=None),
    ]
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_ends_well_when_interrupted(run: Run, sandbox: FakeSandbox) -> None:
    result = run("sandbox", "--port", "2")
    assert (result.exit_code, "stopped" in result.stderr) == (0, True)


def test_another_port_is_asked_for_when_this_one_is_taken(run: Run, sandbox: FakeSandbox) -> None:
    result = run("sandbox", "--port", "1")
    assert (result.exit_code, "Choose another --port" in result.stderr) == (1, True)


def test_a_fault_is_read_when_written_short_or_as_json() -> None:
    assert parse_fault("*:*:status,status=503,when=before") == Fault(kind="status", status=503, when="before")
    assert parse_fault('{"system": "studiocart", "kind": "html"}') == Fault(system="studiocart", kind="html")


@pytest.mark.parametrize("text", ["", "cut", "a:b:explode", "*:*:cut,colour=red", "{", '{"kind": 3}'])
def test_a_fault_is_refused_when_it_means_nothing(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write SYSTEM:OPERATION:KIND"):
        parse_fault(text)
