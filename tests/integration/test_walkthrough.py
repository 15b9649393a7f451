"""The README's walk-through, run as it is written: a learner without access, why, the offer, the replay, access."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS
from tests.integration.servers import free_port
from worker.sandbox import Sandbox

README = Path(__file__).parents[2] / "README.md"
RUN = [sys.executable, "-c", "from worker.cli.app import main; main()"]


def lines_after(mark: str) -> list[list[str]]:
    """The commands of the block after a mark, without their comments."""
    block = re.search(rf"<!-- walk-through: {mark} -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True)[1:] for line in block[1].splitlines()]


class Terminal:
    """Where the reader types, with what `cartbridge sandbox` told in the environment."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.folder = folder
        self.offers = folder / "offers.toml"
        self.offers.touch()
        root = str(README.parent)
        reported = sandbox.environment(
            CARTBRIDGE_STUDIOCART__START_AT="2020-01-01", CARTBRIDGE_WEB__PORT=str(free_port())
        )
        self.environment = os.environ | reported | {"PYTHONPATH": root}

    def type(self, *arguments: str) -> str:
        done = subprocess.run(
            [*RUN, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=ENOUGH_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return " ".join(done.stdout.replace("│", " ").split())


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with Sandbox.start() as sandbox:
        terminal = Terminal(sandbox, tmp_path)
        with (tmp_path / "up.log").open("wb") as log:
            up = subprocess.Popen(
                [*RUN, "up"], cwd=tmp_path, env=terminal.environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(lambda: b"is listening" in (tmp_path / "up.log").read_bytes(), seconds=ENOUGH_SECONDS)
            yield terminal
        finally:
            up.terminate()
            up.wait(ENOUGH_SECONDS)


def test_learner_gets_access_when_the_walk_through_is_followed(terminal: Terminal) -> None:
    status, why, unmapped = lines_after("a test runs these lines")
    check, replay, why_again = lines_after("and these")
    wait_until(lambda: "unmapped_product" in terminal.type(*status), seconds=ENOUGH_SECONDS, what="it was polled")
    assert "janedoe@email.com has no access to SC Product 1 yet" in terminal.type(*why)
    snippet = terminal.type(*unmapped)
    start = snippet.index("[[offer]]")
    assert 'product_id = "1107"' in snippet[start:]
    pasted = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [12] }]\n'
    for line in ("source = ", "product_id = ", "grants = [{ price_id = 0, group_ids = [] }]"):
        assert line in snippet
    terminal.offers.write_text(pasted)
    assert "1 offer" in terminal.type(*check)
    terminal.type(*replay)
    wait_until(lambda: "has access to SC Product 1" in terminal.type(*why_again), seconds=ENOUGH_SECONDS, what="access")
