"""Kills web, worker and beat by SIGKILL at every boundary they come to on an order's way, and counts what is left.

    python -m tests.faults.crash_points.sigkill [--json FILE] [--sites N]

First each story of an order is told once by processes that write down their boundaries; then once for each boundary by
a process that dies there, on real Redis and PostgreSQL. A fresh process takes over, and the books are read: the order
is provisioned, once. Exit code 1 names the boundaries where it was not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.crash_points.deployment import SETTLE_SECONDS, Sites, TrialSite
from tests.faults.crash_points.doomed_process import Errand, Point, TrialError, await_death, wait
from tests.faults.simulation.boundaries import ACKNOWLEDGED, RECEIVED, SENT, Boundary
from tests.integration.servers import PostgresServer, RedisServer
from worker.ledger.states import Outcome
from worker.sandbox import Fault

SITES = 10
"""Trials side by side: most of a trial is waiting for a lease, a settle time, or a message to be taken for lost."""
COMPED_ORDER_SENT = Point(Boundary(SENT, "learningcart addCompOrder"))
_UNTIL_SEEN_SECONDS = 3600.0
"""A settle time for what is there in the end: no busy machine makes the effect come too late for it."""
_LATE_SECONDS = 1.0
_TABLE_WIDTH = 140  # where there is no terminal to ask
_INTENT = "workflows.execution.recorder.commit_intent"


class Story(StrEnum):
    """What happens to an order until the process dies."""

    NOTIFIED = "webhook taken"
    """By the web."""
    WORKED = "message worked"
    """By the worker that the web has sent a message to."""
    SWEPT = "message lost"
    """The ledger alone knows of the order: beat and a worker's sweep find it."""
    TAKEN_OVER = "run taken over"
    """By the worker after one that died having sent `addCompOrder`, which was not carried out."""


class Effect(StrEnum):
    """When the comped order is made whose sender died."""

    AT_ONCE = "at once"
    LATE = "late"
    """After the sender's death, within the settle time."""
    NEVER = "never"


@dataclass(frozen=True)
class Trial:
    """One process, killed once."""

    command: str
    story: Story
    doom: Point
    pool: str = "threads"
    effect: Effect = Effect.AT_ONCE

    @property
    def has_its_effect(self) -> bool:
        """Whether every comped order that is sent in it is made, sooner or later."""
        is_first = self.story is not Story.TAKEN_OVER
        return self.doom == COMPED_ORDER_SENT and self.effect is not Effect.NEVER and is_first

    def __str__(self) -> str:
        notes = [self.story.value]
        notes += ["prefork"] if self.pool == "prefork" else []
        notes += [f"effect {self.effect}"] if self.doom == COMPED_ORDER_SENT else []
        return f"{self.command}: {self.doom} ({', '.join(notes)})"


@dataclass
class TrialResult:
    """What a trial came to."""

    trial: Trial
    killed: bool = False
    seconds: float | None = None
    """From the death to the settled order."""
    notified_again: bool = False
    comped_orders: int = 0
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.killed and self.seconds is not None and not self.problem

    def to_json(self) -> dict[str, Any]:
        trial = self.trial
        return {
            "process": trial.command,
            "pool": trial.pool,
            "story": trial.story,
            "boundary": str(trial.doom),
            "effect": trial.effect if trial.doom == COMPED_ORDER_SENT else None,
            "killed": self.killed,
            "recovered_seconds": None if self.seconds is None else round(self.seconds, 2),
            "told_again": self.notified_again,
            "comped_orders": self.comped_orders,
            "ok": self.ok,
            "problem": self.problem,
        }


# One story, told by a process that dies or writes


def run_story(site: TrialSite, trial: Trial, order_id: int, errand: Errand, verdict: TrialResult | None) -> None:
    """Bring an order in and start the errand's process; where it is doomed, return when it is dead and others work."""
    if trial.story is Story.NOTIFIED:
        _take_webhook(site, order_id, errand, verdict)
        return
    if trial.command == "beat":
        site.stop_beat()
    if not site.tell(order_id):
        raise TrialError("the webhook was not answered with 202")
    if trial.story is Story.SWEPT:
        site.lose_message(order_id)
    if trial.story is Story.TAKEN_OVER:
        _die_having_sent(site)
    if trial.doom == COMPED_ORDER_SENT:
        _arrange(site, trial.effect)
    process = site.start_process(errand)
    if errand.doom is None:
        if trial.command == "beat":
            site.start_process(site.errand("worker"))
        return
    is_alone = await_death(process, errand)
    if trial.command == "worker":
        site.end_leases()
    if is_alone:
        if trial.command == "beat":
            site.start_beat()
        site.start_process(site.errand("worker"))
    # Else it was a child of the pool, and its parent is left to make another.


def _take_webhook(site: TrialSite, order_id: int, errand: Errand, verdict: TrialResult | None) -> None:
    site.start_process(site.errand("worker"))
    process, port = site.start_web(errand)
    answered = site.tell(order_id, port)
    if errand.doom is not None:
        await_death(process, errand)
    if answered and not site.is_recorded(order_id):
        raise TrialError("a webhook was answered with 202, and is not recorded")
    if not answered:
        if verdict is not None:
            verdict.notified_again = True
        if not site.tell(order_id):
            raise TrialError("the webhook was refused the second time")


def _die_having_sent(site: TrialSite) -> None:
    _arrange(site, Effect.NEVER)
    errand = site.errand("worker", doom=COMPED_ORDER_SENT)
    await_death(site.start_process(errand), errand)
    site.end_leases()


def _arrange(site: TrialSite, effect: Effect) -> None:
    if effect is Effect.NEVER:
        site.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="before"))
    if effect is Effect.LATE:
        site.sandbox.inject(Fault("learningcart", "addCompOrder", kind="late", seconds=_LATE_SECONDS))


def record(site: TrialSite, trial: Trial) -> list[Point]:
    """Tell a trial's story to its end without a death; the boundaries that its process came to, in order."""
    order_id = site.sell()
    errand = site.errand(trial.command, record=True, pool=trial.pool)
    if trial.story is Story.WORKED:
        site.stop_beat()  # its sweeps are a story of their own, and no two tellings have the same
        site.clear()
    run_story(site, trial, order_id, errand, None)
    wait(lambda: site.is_settled(order_id), what=f"{trial.story} is told to its end")
    wait(lambda: _are_acknowledged(errand.reached()), what="the messages it was given are off their queues")
    return errand.reached()


def _are_acknowledged(points: Sequence[Point]) -> bool:
    counts = Counter(point.boundary for point in points)
    received = [boundary for boundary in counts if boundary.kind == RECEIVED]
    return all(counts[boundary] <= counts[Boundary(ACKNOWLEDGED, boundary.place)] for boundary in received)


def judge(site: TrialSite, trial: Trial) -> tuple[TrialResult, int]:
    """Kill a process at its boundary, let others take over, and read the books. Also the order's id."""
    site.clear()
    verdict = TrialResult(trial)
    order_id = site.sell()
    site.settle_seconds = _UNTIL_SEEN_SECONDS if trial.has_its_effect else SETTLE_SECONDS
    errand = site.errand(trial.command, doom=trial.doom, pool=trial.pool)
    try:
        run_story(site, trial, order_id, errand, verdict)
        verdict.killed = True
        died_at = (errand.mark or errand.log).stat().st_mtime
        wait(lambda: site.is_settled(order_id), what="the order is settled")
        verdict.seconds = time.time() - died_at
        verdict.problem = "; ".join([*site.problems(order_id), *_unlike_its_effect(site, trial, order_id)])
    except TrialError as error:
        verdict.killed = errand.doomed_pid() is not None
        verdict.problem = "; ".join([str(error), *(site.problems(order_id) if verdict.killed else ())])
    site.end_workers()
    return verdict, order_id


def _unlike_its_effect(site: TrialSite, trial: Trial, order_id: int) -> list[str]:
    """What is wrong with the way in which an effect was found, or was proven absent."""
    if trial.doom != COMPED_ORDER_SENT:
        return []
    expected = Outcome.OK if trial.effect is Effect.NEVER else Outcome.ADOPTED
    outcomes = site.outcomes(order_id)
    found = [] if outcomes[-1:] == [expected] else [f"{outcomes} does not end {expected}"]
    if trial.effect is not Effect.AT_ONCE and not site.sandbox.faults_hit:
        found.append(f"no comped order was made {trial.effect}")
    return found


# All of them


def enumerate_trials(sites: Sites, spread: ThreadPoolExecutor) -> list[Trial]:
    """Record every story, and make a trial of every boundary in it. Raises `TrialError`."""

    def recorded(command: str, story: Story, pool: str = "threads") -> Future[list[Point]]:
        def tell() -> list[Point]:
            with sites.borrowed() as site:
                try:
                    return record(site, Trial(command, story, COMPED_ORDER_SENT, pool=pool))
                finally:
                    site.end_workers()
                    site.restart_beat()

        return spread.submit(tell)

    reported = recorded("web", Story.NOTIFIED)
    worked = recorded("worker", Story.WORKED)
    swept = recorded("worker", Story.SWEPT)
    taken_over = recorded("worker", Story.TAKEN_OVER)
    beaten = recorded("beat", Story.SWEPT)
    forked = recorded("worker", Story.WORKED, pool="prefork")
    known = {point.boundary for point in worked.result()}
    of_sweep = [point for point in first_times(swept.result()) if point.boundary not in known]
    return [
        *(Trial("web", Story.NOTIFIED, point) for point in reported.result()),
        *(Trial("worker", Story.WORKED, point) for point in worked.result()),
        *(Trial("worker", Story.WORKED, COMPED_ORDER_SENT, effect=effect) for effect in (Effect.LATE, Effect.NEVER)),
        *(Trial("worker", Story.SWEPT, point) for point in of_sweep),
        *(Trial("worker", Story.TAKEN_OVER, point) for point in first_times(taken_over.result())),
        *(Trial("worker", Story.WORKED, point, pool="prefork") for point in from_intent(forked.result())),
        *(Trial("beat", Story.SWEPT, point) for point in first_times(beaten.result())),
    ]


def first_times(points: Iterable[Point]) -> list[Point]:
    """Each boundary once: beat's clock brings it again and again."""
    return [point for point in points if point.occurrence == 1]


def from_intent(points: Sequence[Point]) -> list[Point]:
    """The boundaries from the comped order's intent on."""
    first = next(number for number, point in enumerate(points) if point.boundary.place == _INTENT)
    return list(points[first:])


def judge_all(
    sites: Sites, trials: Sequence[Trial], spread: ThreadPoolExecutor, report: Callable[[TrialResult], None]
) -> list[TrialResult]:
    """Run every trial, and read all books once more at the end, for what came late."""

    def one(trial: Trial) -> tuple[TrialResult, TrialSite, int]:
        with sites.borrowed() as site:
            verdict, order_id = judge(site, trial)
        report(verdict)
        return verdict, site, order_id

    judged = list(spread.map(one, trials))
    for verdict, site, order_id in judged:
        verdict.comped_orders = len(site.comped_orders(order_id))
        later = [problem for problem in site.problems(order_id) if problem not in verdict.problem]
        verdict.problem = "; ".join([*filter(None, [verdict.problem]), *later])
    return [verdict for verdict, _, _ in judged]


def summary(verdicts: Sequence[TrialResult], seconds: float) -> dict[str, Any]:
    """The counts, and every trial."""
    return {
        "boundaries": len(verdicts),
        "killed": sum(verdict.killed for verdict in verdicts),
        "recovered": sum(verdict.ok for verdict in verdicts),
        "lost": sum(verdict.comped_orders == 0 for verdict in verdicts),
        "doubled": sum(verdict.comped_orders > 1 for verdict in verdicts),
        "seconds": round(seconds, 1),
        "trials": [verdict.to_json() for verdict in verdicts],
    }


def table_of(verdicts: Sequence[TrialResult]) -> Table:
    """Every trial in a line."""
    table = Table("boundary", "killed process", "recovered in", "ok", title="Killed by SIGKILL at every boundary")
    for verdict in verdicts:
        trial = verdict.trial
        pool = ", prefork" if trial.pool == "prefork" else ""
        effect = f", effect {trial.effect}" if trial.doom == COMPED_ORDER_SENT else ""
        table.add_row(
            str(trial.doom) + effect,
            f"{trial.command}{pool}: {trial.story}",
            "" if verdict.seconds is None else f"{verdict.seconds:.1f} s",
            "ok" if verdict.ok else verdict.problem or "not killed",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; the exit code."""
    parser = argparse.ArgumentParser(prog="sigkill", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts and every trial here too")
    parser.add_argument("--sites", type=int, default=SITES, metavar="N", help="trials side by side, at most 16")
    parser.add_argument("--keep", action="store_true", help="keep the processes' logs")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
    folder = Path(tempfile.mkdtemp(prefix="cartbridge-sigkill-"))
    began = time.monotonic()
    with (
        PostgresServer() as postgres,
        RedisServer() as broker,
        Sites(postgres, broker, folder, options.sites) as sites,
        ThreadPoolExecutor(options.sites) as spread,
    ):
        trials = enumerate_trials(sites, spread)
        console.print(f"{len(trials)} boundaries enumerated in {time.monotonic() - began:.0f} s")

        def report(verdict: TrialResult) -> None:
            if not verdict.ok:
                console.print(f"FAILED {verdict.trial}: {verdict.problem}", markup=False)

        verdicts = judge_all(sites, trials, spread, report)
    counts = summary(verdicts, time.monotonic() - began)
    console.print(table_of(verdicts))
    console.print(
        f"{counts['boundaries']} boundaries enumerated, {counts['killed']} killed, {counts['recovered']} recovered, "
        f"{counts['lost']} lost, {counts['doubled']} doubled, in {counts['seconds']:.0f} s"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(counts, indent=2) + "\n")
    if options.keep:
        console.print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    failed = [verdict.trial for verdict in verdicts if not verdict.ok]
    for trial in failed:
        console.print(f"FAILED {trial}", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
