"""The product as processes of its own: started, killed, stopped and looked into by a test."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select, update

from tests.faults.harness.offers import OFFERS
from tests.faults.harness.waiting import wait_until
from worker.ledger.session import Ledger
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import attempts, runs
from worker.sandbox import Sandbox

ENOUGH_SECONDS = 80.0
"""Far more than anything here takes, on a machine that is busy too."""
SETTLE_SECONDS = 0.5
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LEASE_SECONDS = 90.0
"""No good answer comes too late for these, however busy the machine is. Nobody waits for them: see `end_leases`."""


def end_leases(ledger: Ledger) -> None:
    """Let every lease in the ledger be over, as if its time had gone by. Committed at the return."""
    over = datetime.now(UTC) - timedelta(seconds=1)
    with ledger.write() as connection:
        for table in LedgerModel.metadata.sorted_tables:
            if "lease_until" in table.c:
                connection.execute(update(table).where(table.c.lease_until > over).values(lease_until=over))


class Product:
    """Processes that share a ledger, a broker and a sandbox. Whatever still runs at the end is killed."""

    def __init__(self, sandbox: Sandbox, database_url: str, folder: Path, **variables: str) -> None:
        self.sandbox = sandbox
        self.folder = folder
        (folder / "offers.toml").write_text(OFFERS)
        self.ledger = Ledger(database_url)
        self.ledger.migrate()
        settings = {
            "CARTBRIDGE_DATABASE_URL": database_url,
            "CARTBRIDGE_OFFERS_FILE": str(folder / "offers.toml"),
            "CARTBRIDGE_STUDIOCART__START_AT": "2020-01-01",
            "CARTBRIDGE_STUDIOCART__POLL_SECONDS": "1",
            "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND": "0",
            "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0",
            "CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS": str(READ_SECONDS),
            "CARTBRIDGE_LEARNINGCART__CONNECT_TIMEOUT_SECONDS": str(CONNECT_SECONDS),
            "CARTBRIDGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "CARTBRIDGE_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CARTBRIDGE_DISPATCH_SECONDS": "0.3",
            "CARTBRIDGE_RETRY__BASE_SECONDS": "0.2",
            "CARTBRIDGE_WORKER__CONCURRENCY": "4",
            "CARTBRIDGE_WEB__PORT": "0",
        }
        self._environment = sandbox.environment(systems=("learningcart", "studiocart"), **(settings | variables))
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            if process.poll() is None:
                self.kill(process)
        self.ledger.close()
        for log in sorted(self.folder.glob("*.log")):  # which pytest shows when the test has failed
            sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}\n")

    def start(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start `cartbridge COMMAND` in a process group of its own."""
        return self._start(command, variables, None)

    def start_limited(
        self, command: str, *, files: int | None = None, address_space: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `cartbridge COMMAND`, which may open so many files and reserve so many bytes."""

        def set_limits() -> None:
            for kind, limit in ((resource.RLIMIT_NOFILE, files), (resource.RLIMIT_AS, address_space)):
                if limit is not None:
                    resource.setrlimit(kind, (limit, limit))

        return self._start((command,), {}, set_limits)

    def _start(
        self, command: tuple[str, ...], variables: dict[str, str], set_limits: Callable[[], None] | None
    ) -> subprocess.Popen[bytes]:
        number = len(self._started) + 1
        with (self.folder / f"{number}-{command[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", "from worker.cli.app import main; main()", *command],
                cwd=Path(__file__).resolve().parents[2],
                env=os.environ | self._environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=set_limits,  # noqa: PLW1509  (it only asks the kernel)
            )
        self._started.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the process and its children: as when the machine loses its power."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(ENOUGH_SECONDS)

    def end_leases(self) -> None:
        """Let the leases of the dead be over, which held what they had for longer than a test waits."""
        end_leases(self.ledger)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and the exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(ENOUGH_SECONDS)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        number = self._started.index(process) + 1
        (log,) = self.folder.glob(f"{number}-*.log")
        return log.read_text(errors="replace")

    def port_of(self, process: subprocess.Popen[bytes]) -> int:
        """The port its web server listens on; waits until it does."""

        def port() -> int:
            found = re.search(r"web is listening.*?http://127\.0\.0\.1:(\d+)", self.log_of(process))
            return int(found[1]) if found else 0

        wait_until(lambda: port() > 0, seconds=ENOUGH_SECONDS, what="a web server that listens")
        return port()

    # Orders and what became of them

    def sell(self, count: int, *, first_id: int = 7001) -> None:
        """Put paid orders of as many learners into the shop; a poll finds them."""
        for number in range(first_id, first_id + count):
            self.sandbox.studiocart.replace_order(
                number,
                {
                    "customer_firstname": "Jane",
                    "customer_lastname": "Doe",
                    "customer_email": f"learner-{number}@example.test",
                    "product_id": "1107",
                    "product_name": "Course",
                    "status": "paid",
                    "items": [{"product_name": "Course x 1", "quantity": 1}],
                },
            )

    def states(self) -> list[str]:
        with self.ledger.read() as connection:
            return list(connection.scalars(select(runs.c.state).order_by(runs.c.id)))

    def outcomes(self) -> list[str | None]:
        """The outcomes of all attempts at the comped order."""
        with self.ledger.read() as connection:
            return list(connection.scalars(select(attempts.c.outcome).where(attempts.c.step == "add_comped_order")))

    @property
    def comped_orders(self) -> list[Any]:
        return [effect.facts for effect in self.sandbox.effects_of("learningcart", "addCompOrder")]

    def wait_for_effects(self, count: int) -> None:
        wait_until(lambda: len(self.comped_orders) >= count, seconds=ENOUGH_SECONDS, what=f"{count} comped orders")

    def wait_until_succeeded(self, count: int) -> None:
        wait_until(
            lambda: self.states() == ["succeeded"] * count, seconds=ENOUGH_SECONDS, what=f"{count} runs succeeded"
        )

    def wait_until_done(self, count: int) -> None:
        """Wait until as many runs have succeeded, and hold that each of their learners has exactly one comped order."""
        self.wait_until_succeeded(count)
        emails = sorted(facts["email"] for facts in self.comped_orders)
        assert len(emails) == count
        assert len(set(emails)) == count
