"""`cartbridge demo`: the main job from end to end against the sandbox, with faults and a kill, and the proof of it."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.cli.demo.facts import read_facts
from worker.cli.demo.process import DemoError, ProductProcess, free_port, write_settings
from worker.cli.demo.proof import check_effects, check_faults, check_finished, check_reviews, check_sales
from worker.cli.demo.report import Result, print_report, where_kept
from worker.cli.demo.sales import OLDEST_AT, START_AT, offers_text, plan_sales
from worker.cli.demo.scenario import READ_TIMEOUT_SECONDS, Scenario
from worker.cli.errors import FAILED, complain
from worker.cli.output import cell, console, note, print_json
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox, SandboxConfig

if TYPE_CHECKING:
    from rich.console import Console

DEADLINE_SECONDS: Final = 55.0
LEDGER_NAME: Final = "cartbridge.db"
_TIMINGS: Final = {
    "CARTBRIDGE_SETTLE_SECONDS": f"{READ_TIMEOUT_SECONDS + 0.5:g}",
    "CARTBRIDGE_LEASE_SECONDS": "8",
    "CARTBRIDGE_DISPATCH_SECONDS": "0.25",
    "CARTBRIDGE_RETRY__BASE_SECONDS": "0.2",
    "CARTBRIDGE_RETRY__MAX_SECONDS": "1",
    "CARTBRIDGE_LEARNINGCART__CONNECT_TIMEOUT_SECONDS": f"{READ_TIMEOUT_SECONDS:g}",
    "CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS": f"{READ_TIMEOUT_SECONDS:g}",
    "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0",
    "CARTBRIDGE_STUDIOCART__POLL_SECONDS": "1",
    "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND": "0",
}
"""Short, so that waits of minutes are over in seconds; each in the relation to the others that it should have."""


def run_demo(*, seconds: float = DEADLINE_SECONDS, keep: bool = False, as_json: bool = False) -> int:
    """Show the main job in at most `seconds`, and a few more for stopping; returns the exit code.

    0: everything agreed and nothing was left unfinished. 1: something did not, or it was interrupted. Touches no
    setting, ledger or file of the operator's: all is in a temporary directory, which stays where something went wrong,
    or with `keep`. With `as_json` stdout has the summary as one object, and the progress is on stderr.
    """
    folder = Path(tempfile.mkdtemp(prefix="cartbridge-demo-"))
    stays = True
    try:
        with _interrupted_by_sigterm():
            result = _demonstrate(folder, console(stderr=as_json), seconds)
        stays = keep or not result.holds
        if as_json:
            print_json(result.to_json(folder if stays else None))
        else:
            print_report(console(), result, folder if stays else None)
    except KeyboardInterrupt:
        stays = keep
        note("The demo was interrupted; everything it had started is stopped.")
        return FAILED
    except DemoError as error:
        complain(str(error))
        for line in where_kept(folder):
            note(line)
        return FAILED
    finally:
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if result.holds else FAILED


def _demonstrate(folder: Path, out: Console, deadline_seconds: float) -> Result:
    """Play the scenario, stop everything, and prove what came of it. Raises `DemoError`."""
    sales = plan_sales(datetime.now(UTC))
    ledger = Ledger(f"sqlite:///{folder / LEDGER_NAME}")
    product = ProductProcess(folder, free_port())

    def say(text: str, seconds: float, style: str = "") -> None:
        out.print(cell(f"{seconds:5.1f} s  {text}", style))

    try:
        with Sandbox.start(config=SandboxConfig(effects_path=folder / "effects.jsonl")) as sandbox:
            (folder / "offers.toml").write_text(offers_text(), encoding="utf-8")
            write_settings(folder, _variables(sandbox, folder, product))
            scenario = Scenario(
                sandbox, product, sales, say, lambda: read_facts(ledger), deadline_seconds=deadline_seconds
            )
            scenario.play()
            product.stop()
            scenario.tick()
            progress = scenario.progress
            facts = progress.facts = read_facts(ledger, in_full=True)
            checks = [
                *check_effects(sandbox.effects, facts),
                check_sales(sandbox.effects, sales.expected_orders()),
                check_reviews(facts, sales.expected_reviews()),
                check_finished(facts, scenario.statuses(), progress.seconds),
                check_faults(progress.faults),
            ]
    finally:
        product.stop()
        ledger.close()
    killed = (run for run in facts.details if run.order_id == str(sales.killed.order_id) and run.grant)
    return Result(progress, checks, next(killed, None))


def _variables(sandbox: Sandbox, folder: Path, product: ProductProcess) -> dict[str, str]:
    """The settings of the demo's product."""
    oldest_at = datetime.fromisoformat(OLDEST_AT).replace(tzinfo=UTC)
    return sandbox.environment(
        systems=("learningcart", "studiocart"),
        CARTBRIDGE_DATABASE_URL=f"sqlite:///{folder / LEDGER_NAME}",
        CARTBRIDGE_OFFERS_FILE=str(folder / "offers.toml"),
        CARTBRIDGE_STUDIOCART__START_AT=START_AT,
        CARTBRIDGE_STUDIOCART__BASELINE_DAYS=str((datetime.now(UTC) - oldest_at).days + 2),
        CARTBRIDGE_WEB__PORT=str(product.port),
        CARTBRIDGE_LOG_FORMAT="console",
        **_TIMINGS,
    )


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM stop everything as Ctrl-C does. A signal's handler can only be set in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
