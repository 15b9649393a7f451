"""The wire to LearningCart: it passes everything on while it is open, and refuses connections while it is shut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.faults.chaos.gate import Gate
from worker.sandbox import Sandbox, SandboxConfig

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        gate = Gate(sandbox.port)
        try:
            yield gate
        finally:
            gate.close()


def ask(gate: Gate, session: requests.Session) -> int:
    session.trust_env = False
    return session.get(f"http://127.0.0.1:{gate.port}/_sandbox/state", timeout=5).status_code


def test_connection_is_refused_when_the_gate_is_shut_and_taken_when_it_is_open_again(gate: Gate) -> None:
    with requests.Session() as session:
        assert ask(gate, session) == 200
        gate.shut()
        with pytest.raises(requests.ConnectionError):
            ask(gate, session)
        gate.open()
        assert ask(gate, session) == 200


def test_closing_is_harmless_when_repeated(gate: Gate) -> None:
    gate.close()
    gate.close()
    with requests.Session() as session, pytest.raises(requests.ConnectionError):
        ask(gate, session)
