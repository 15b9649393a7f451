"""The outside world: the sandbox as a process of its own, which nothing here ever disturbs, and its controls."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from tests.integration.servers import die_with_parent
from worker.sandbox import Fault

START_SECONDS = 30.0
_CALL_SECONDS = 10.0
_LATENCY_SECONDS = 0.05
TENFOLD = 10
_ROOT = Path(__file__).resolve().parents[3]


class OutsideError(Exception):
    """The sandbox did not start, or refused a control."""


class Outside:
    """The sandbox's process. Its effect log is the truth that the product is judged by. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "sandbox.env"
        with self._output.open("wb") as output, (folder / "sandbox.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from worker.cli.app import main; main()", "sandbox", "--port", "0"],
                cwd=folder,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - two system calls, no lock taken
            )
        try:
            self.environment = self._wait_for_environment()
        except BaseException:
            self.close()
            raise
        base_url = self.environment["CARTBRIDGE_STUDIOCART__BASE_URL"]
        self._root = base_url[: base_url.index("/", len("http://"))]
        self.port = int(self._root.rpartition(":")[2])

    def _wait_for_environment(self) -> dict[str, str]:
        """The variables it prints, of the three systems that take part."""
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            lines = [line for line in self._output.read_text().splitlines(keepends=True) if line.endswith("\n")]
            words = [word for line in lines for word in shlex.split(line) if word != "export"]
            found = dict(word.split("=", 1) for word in words)
            if any(name.startswith("CARTBRIDGE_THREEDCART__TOKEN") for name in found):
                left_out = ("THREEDCART", "START_AT")  # its own old order is not for sale here
                return {name: value for name, value in found.items() if not any(word in name for word in left_out)}
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise OutsideError("the sandbox did not start")
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it; harmless when ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_CALL_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait(_CALL_SECONDS)

    # Controls

    def add_order(self, source: str, record: dict[str, Any]) -> dict[str, Any]:
        """Put an order into a source; the whole record, as the source shows it."""
        added: dict[str, Any] = self._control("POST", f"{source}/orders", record)
        return added

    def change_order(self, source: str, order_id: str, **changes: Any) -> dict[str, Any]:
        """Change fields of a source's order; the whole record."""
        record: dict[str, Any] = self._control("PATCH", f"{source}/orders/{order_id}", changes)
        return record

    def effects(self, *, after: int = 0) -> list[dict[str, Any]]:
        """What took place in LearningCart since the effect of this number, oldest first."""
        effects: list[dict[str, Any]] = self._control("GET", f"effects?after={after}")
        return effects

    def expire_tokens(self) -> None:
        self._control("DELETE", "learningcart/tokens")

    def misbehave(self, *, slowness: int = 1) -> None:
        """Put the steady faults in force, and every other answer of LearningCart's `slowness` times as late."""
        self.behave()
        self._control("POST", "faults", [fault.to_json() for fault in steady_faults(slowness)])

    def behave(self) -> None:
        """Put every fault out of force."""
        self._control("DELETE", "faults")

    def _control(self, method: str, path: str, body: object = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self._root}/_sandbox/{path}", json=body, timeout=_CALL_SECONDS)
        if not answer.ok:
            raise OutsideError(f"{method} {path.partition('?')[0]} was refused with {answer.status_code}")
        return answer.json()


def steady_faults(slowness: int = 1) -> Sequence[Fault]:
    """What goes wrong all the time: about one comped order in eight, and few of the harmless calls.

    Every late effect lands well within the settle time: what lands after it cannot be prevented from outside, and is
    the simulation's subject.
    """

    def hit(system: str, operation: str, kind: Any, probability: float, **more: Any) -> Fault:
        return Fault(system, operation, kind=kind, probability=probability, times=None, **more)

    comped, learningcart = "addCompOrder", "learningcart"
    return [
        hit(learningcart, comped, "cut", 0.015, when="after"),
        hit(learningcart, comped, "cut", 0.01, when="before"),
        hit(learningcart, comped, "status", 0.015, status=500, when="after"),
        hit(learningcart, comped, "status", 0.01, status=503, when="before"),
        hit(learningcart, comped, "hang", 0.015, seconds=4.0, when="after"),
        hit(learningcart, comped, "hang", 0.005, seconds=4.0, when="before"),
        hit(learningcart, comped, "half_answer", 0.015),
        hit(learningcart, comped, "late", 0.02, seconds=1.0),
        hit(learningcart, comped, "html", 0.005, when="after"),
        hit(learningcart, comped, "empty", 0.005, when="after"),
        hit(learningcart, "*", "status", 0.005, status=429, headers={"Retry-After": "1"}),
        hit(learningcart, "*", "status", 0.01, status=503, when="before"),
        hit(learningcart, "*", "cut", 0.005),
        *(
            fault
            for source in ("studiocart", "frontcore")
            for fault in (
                hit(source, "*", "status", 0.02, status=502, when="before"),
                hit(source, "*", "half_answer", 0.01),
                hit(source, "*", "hang", 0.005, seconds=4.0, when="before"),
            )
        ),
        # Last: the first fault that hits decides.
        hit(learningcart, "*", "slow", 1.0, seconds=_LATENCY_SECONDS * slowness, when="before"),
    ]
