"""One chaos run from its first process to its verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tests.faults.chaos.disturbances import Disturber, Victims
from tests.faults.chaos.external_systems import Outside
from tests.faults.chaos.fleet import Fleet
from tests.faults.chaos.gate import Gate
from tests.faults.chaos.log_reading import read_logs
from tests.faults.chaos.progress import SETTLED, Progress, read_progress
from tests.faults.chaos.report import Outcome, Standing, View
from tests.faults.chaos.storefront import Shop
from tests.faults.chaos.verdict import Evidence, judge
from tests.faults.harness.offers import ALL_OFFERS
from tests.faults.judging.ledger import ENDED, read_attempts, read_runs
from tests.faults.judging.sold import comped_orders
from tests.integration.servers import PostgresServer, RedisServer, free_port
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import attempts, cursors, deliveries, events, orders, runs
from worker.sandbox import SECRET_MARKS

SETTLE_SECONDS = 2.5
LEASE_SECONDS = 8.0
_TICK_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 85.0
"""How long the product is given to settle: its ledger sends a lost message again after up to 40 s."""
_READY_SECONDS = 45.0
_RECONCILE_SECONDS = 60.0
_DATABASE_PASSWORD = "chaos-secret-database"
_API_TOKEN = "chaos-secret-api-token"
_ROOT = Path(__file__).resolve().parents[3]


class HarnessError(Exception):
    """The run could not be brought to its end; says nothing of the product."""


@dataclass
class Story:
    """A run of so many minutes. `run` returns what it came to; everything it starts is gone by then."""

    minutes: float
    seed: int
    folder: Path
    view: View
    without: frozenset[str] = frozenset()
    """The kinds of disturbances that are left out."""
    _began_at: float = field(default_factory=time.monotonic)
    _progress: Progress | None = None
    _ledger_is_away: bool = False
    _effects: list[dict[str, Any]] = field(default_factory=list)
    _looked_at: float = 0.0
    _problems: list[str] = field(default_factory=list)

    def run(self) -> Outcome:
        """`ServerUnavailableError` where no PostgreSQL or Redis can be started here."""
        with ExitStack() as stack:
            outside = Outside(self.folder)
            stack.callback(outside.close)
            postgres = stack.enter_context(PostgresServer(durable=True))
            redis = stack.enter_context(RedisServer())
            gate = Gate(outside.port)
            stack.callback(gate.close)
            ledger = Ledger(postgres.create_database().replace("postgres@", f"postgres:{_DATABASE_PASSWORD}@"))
            stack.callback(ledger.close)
            ledger.migrate()
            web_port = free_port()
            fleet = Fleet(self.folder, self._settings(outside, gate, redis, ledger, web_port))
            stack.callback(fleet.close)
            shop = Shop(outside, f"http://127.0.0.1:{web_port}", seed=str(self.seed), backlog=self._backlog)
            stack.callback(shop.close)
            victims = Victims(fleet, postgres, redis, gate, outside, frozen_seconds=LEASE_SECONDS + SETTLE_SECONDS)
            disturber = Disturber(victims, Random(f"{self.seed}/disturbances"), self.without)
            with _keep_on_failure(self.folder, ledger, lambda: self._effects):
                return self._play(victims, shop, disturber, ledger)

    def _settings(
        self, outside: Outside, gate: Gate, redis: RedisServer, ledger: Ledger, web_port: int
    ) -> dict[str, str]:
        offers = self.folder / "offers.toml"
        offers.write_text(ALL_OFFERS)
        learningcart = outside.environment["CARTBRIDGE_LEARNINGCART__BASE_URL"]
        timeouts = {
            f"CARTBRIDGE_{system}__{name}_TIMEOUT_SECONDS": seconds
            for system in ("LEARNINGCART", "STUDIOCART", "FRONTCORE")
            for name, seconds in (("CONNECT", "0.5"), ("READ", "1.5"))
        }
        # A minute of chaos is worth an hour: every wait of the product's is scaled down with it.
        return {
            **outside.environment,
            **timeouts,
            "CARTBRIDGE_DATABASE_URL": ledger.engine.url.render_as_string(hide_password=False),
            "CARTBRIDGE_BROKER_URL": redis.url,
            "CARTBRIDGE_OFFERS_FILE": str(offers),
            "CARTBRIDGE_LEARNINGCART__BASE_URL": learningcart.replace(f":{outside.port}/", f":{gate.port}/"),
            "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "60",
            "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND": "30",
            "CARTBRIDGE_FRONTCORE__REQUESTS_PER_SECOND": "30",
            "CARTBRIDGE_STUDIOCART__POLL_SECONDS": "3",
            "CARTBRIDGE_FRONTCORE__POLL_SECONDS": "3",
            "CARTBRIDGE_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CARTBRIDGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "CARTBRIDGE_DISPATCH_SECONDS": "0.5",
            "CARTBRIDGE_RETRY__BASE_SECONDS": "0.3",
            "CARTBRIDGE_RETRY__MAX_SECONDS": "5",
            "CARTBRIDGE_RETRY__MAX_ATTEMPTS": "12",
            "CARTBRIDGE_WORKER__CONCURRENCY": "4",
            "CARTBRIDGE_WEB__PORT": str(web_port),
            "CARTBRIDGE_WEB__API_TOKEN": _API_TOKEN,
        }

    def _play(self, victims: Victims, shop: Shop, disturber: Disturber, ledger: Ledger) -> Outcome:
        fleet, outside = victims.fleet, victims.outside
        opened_at = datetime.now(UTC)
        fleet.start_all()
        self._wait_for_first_polls(ledger, fleet)
        outside.misbehave()
        shop.open()
        self._disturb(victims, shop, disturber, ledger)
        quiet_from = time.monotonic()
        disturber.end_all()
        shop.close()
        outside.behave()
        fleet.start_all()
        unsettled = self._wait_until_quiet(victims, shop, disturber, ledger)
        settle_seconds = time.monotonic() - quiet_from
        self._show("judging", shop, disturber)
        findings = self._reconcile(fleet, since=opened_at)
        stops = fleet.stop_all()
        self._problems += [f"{place} did not stop in time" for place, code in stops.items() if code is None]
        if shop.failure is not None:
            self._problems.append(f"the shop ended: {type(shop.failure).__name__}: {shop.failure}")
        self._effects += outside.effects(after=len(self._effects))
        sold = shop.till.all()
        with ledger.read() as connection:
            known, attempted = read_runs(connection), read_attempts(connection)
        evidence = Evidence(
            sold=sold,
            made=comped_orders(self._effects),
            runs=known,
            attempts=attempted,
            findings=findings,
            freezes=fleet.freezes,
            skewed=frozenset(fleet.skewed),
        )
        return Outcome(
            minutes=self.minutes,
            seed=self.seed,
            orders=len(sold),
            kinds=Counter(each.sale.kind for each in sold),
            webhooks=shop.till.webhooks,
            disturbances=disturber.begun,
            starts=fleet.starts,
            ended_by_themselves=fleet.ended_by_themselves,
            stopped=fleet.stopped,
            full_disk_exits=disturber.full_disk_exits,
            verdict=judge(evidence),
            logs=read_logs(self.folder.glob("*.log"), (*SECRET_MARKS, _DATABASE_PASSWORD, _API_TOKEN)),
            is_settled=not unsettled,
            settle_seconds=settle_seconds,
            unsettled=unsettled,
            problems=self._problems,
        )

    # Phases

    def _wait_for_first_polls(self, ledger: Ledger, fleet: Fleet) -> None:
        """Until every source was reached: what is sold before a source's first contact may count as old."""
        give_up_at = time.monotonic() + _READY_SECONDS
        while self._progress is None or not self._progress.contacted >= {"studiocart", "frontcore"}:
            self._look(ledger)
            if time.monotonic() > give_up_at:
                raise HarnessError("the product did not read its sources in time")
            fleet.tend()
            self._show("starting")
            time.sleep(_TICK_SECONDS)

    def _disturb(self, victims: Victims, shop: Shop, disturber: Disturber, ledger: Ledger) -> None:
        ends_at = time.monotonic() + self.minutes * 60
        while time.monotonic() < ends_at:
            victims.fleet.tend()
            disturber.tend()
            self._look(ledger, victims.outside)
            self._check_outside(victims.outside, shop)
            self._show("chaos", shop, disturber)
            time.sleep(_TICK_SECONDS)

    def _wait_until_quiet(self, victims: Victims, shop: Shop, disturber: Disturber, ledger: Ledger) -> list[str]:
        """Wait until everything is settled; what is not, when that takes too long."""
        give_up_at = time.monotonic() + _QUIET_SECONDS
        unsettled = ["nothing is known of the ledger"]
        while unsettled and time.monotonic() < give_up_at:
            victims.fleet.tend()
            if self._look(ledger, victims.outside):
                unsettled = self._unsettled(shop)
            self._show("settling", shop, disturber)
            time.sleep(_TICK_SECONDS)
        return unsettled

    def _unsettled(self, shop: Shop) -> list[str]:
        progress = self._progress
        if progress is None:
            return ["nothing is known of the ledger"]
        found = [f"{count} runs {state}" for state, count in progress.runs.items() if state not in ENDED]
        found += [f"{count} deliveries {state}" for state, count in progress.deliveries.items() if state not in SETTLED]
        found += [f"{system} is paused" for system in progress.paused]
        return found + [f"{order} is not what was sold" for order in progress.unseen(shop.till.all())]

    def _reconcile(self, fleet: Fleet, *, since: datetime) -> list[dict[str, Any]]:
        """What `cartbridge reconcile` finds."""
        answer = subprocess.run(
            [
                *(sys.executable, "-c", "from worker.cli.app import main; main()"),
                *("reconcile", "--json", "--since", since.isoformat()),
            ],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT)} | dict(fleet.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_RECONCILE_SECONDS,
        )
        (self.folder / "reconcile.log").write_bytes(answer.stderr)
        try:
            findings: list[dict[str, Any]] = json.loads(answer.stdout)["findings"]
        except (ValueError, KeyError):
            self._problems.append(f"reconcile ended with {answer.returncode} and no findings to read")
            return []
        (self.folder / "findings.json").write_bytes(answer.stdout)
        return findings

    # Looking

    def _look(self, ledger: Ledger, outside: Outside | None = None) -> bool:
        """Look at the ledger and the effect log once a second. True: the ledger was read just now."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        if outside is not None:
            self._effects += outside.effects(after=len(self._effects))
        try:
            self._progress = read_progress(ledger)
        except SQLAlchemyError:
            self._ledger_is_away = True
            return False
        self._ledger_is_away = False
        return True

    def _check_outside(self, outside: Outside, shop: Shop) -> None:
        if not outside.is_running:
            raise HarnessError("the sandbox ended by itself")
        if shop.failure is not None:
            raise HarnessError("the shop's thread ended by itself") from shop.failure

    def _backlog(self) -> int:
        return 0 if self._progress is None else self._progress.unfinished_runs

    def _show(self, phase: str, shop: Shop | None = None, disturber: Disturber | None = None) -> None:
        progress = self._progress
        self.view.update(
            Standing(
                seconds=time.monotonic() - self._began_at,
                minutes=self.minutes,
                phase=phase,
                sold=0 if shop is None else len(shop.till.sold),
                comped=sum(effect["operation"] == "addCompOrder" for effect in self._effects),
                runs=Counter() if progress is None else progress.runs,
                disturbances=0 if disturber is None else disturber.begun.total(),
                last="none yet" if disturber is None else disturber.last,
                ledger_is_away=self._ledger_is_away,
            )
        )


@contextmanager
def _keep_on_failure(folder: Path, ledger: Ledger, effects: Any) -> Iterator[None]:
    """Write the effect log and the ledger's tables into the folder, which the caller keeps when the run has failed."""
    try:
        yield
    finally:
        (folder / "effects.json").write_text(json.dumps(effects(), indent=1))
        try:
            with ledger.read() as connection:
                for table in (runs, attempts, events, deliveries, orders, cursors):
                    rows = [row._asdict() for row in connection.execute(select(table))]
                    (folder / f"{table.name}.json").write_text(json.dumps(rows, indent=1, default=str))
        except SQLAlchemyError as error:
            (folder / "ledger-unread.txt").write_text(type(error).__name__)
