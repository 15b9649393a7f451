"""The dispatcher: tells the workers that something is due. Losing a message loses nothing, so it never raises."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from celery import Celery
from sqlalchemy import select

from worker.broker.queues import CONTROL_QUEUE, INGEST_QUEUE
from worker.ledger.session import Ledger
from worker.ledger.states import StepState
from worker.ledger.tables.runs import runs, steps
from worker.settings.settings import SOURCES
from workflows.registry import WORKFLOWS

log = logging.getLogger(__name__)

_QUIET_SECONDS = 1.0
"""After a failure nothing is sent for this long: a dead broker must cost a request nothing."""


def task_name(workflow: str, kind: str) -> str:
    """The name of the Celery task that performs a workflow's step."""
    return f"cartbridge.{workflow}.{kind}"


def tell_broker_is_away(error: BaseException) -> None:
    """Log, in one line and without the broker's address, that a message could not be sent."""
    log.warning("the broker cannot be reached (%s); the ledger sends what is due when it is back", type(error).__name__)


class Dispatcher:
    """Sends messages that hold ids only. True where it was sent, False where the broker is away.

    Nothing here raises. Each may block for up to a second while the broker is away: the web calls it off the event
    loop, after the answer. For a second after a failure it answers False at once.
    """

    def __init__(self, app: Celery, ledger: Ledger, *, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._ledger = ledger
        self._now = now
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def send_order(self, source: str, order_id: str) -> bool:
        """Say that an order's delivery is due."""
        return self._send_task("ingest", source, order_id)

    def send_poll(self, source: str) -> bool:
        """Say that a source should be polled now."""
        return self._send_task("poll", source)

    def send_backfills(self) -> bool:
        """Say that a backfill was asked for."""
        return self._send_task("backfill")

    def send_sweep(self) -> bool:
        """Say that the ledger should be looked through for due work now."""
        return self._send_task("dispatch_due", queue=CONTROL_QUEUE)

    def send_resumed(self, system: str) -> bool:
        """Say that a system was resumed: what waited for it is due, and a source is to be polled."""
        is_swept = self.send_sweep()
        return self.send_poll(system) and is_swept if system in SOURCES else is_swept

    def send_runs(self, run_ids: Sequence[str]) -> bool:
        """Send runs to the workers, each as the chain of the steps the ledger says it still has to do."""
        sent = True
        for run_id, planned in self._positions(run_ids).items():
            sent = self._send(lambda run_id=run_id, planned=planned: self._chain(run_id, planned)) and sent  # type: ignore[misc]
        return sent

    def _chain(self, run_id: str, planned: list[tuple[str, str, str]]) -> None:
        links = [
            # Celery itself sends the links after the first: it tries once too, as the ledger sends what was lost.
            self._app.signature(task_name(workflow, kind), args=(run_id,), immutable=True, queue=system, retry=False)
            for workflow, kind, system in planned
        ]
        first, *following = links
        # As `celery.chain` sends it, whose look through nested chains and groups costs more than all the rest.
        first.apply_async(chain=following[::-1] or None, retry=False)

    def _positions(self, run_ids: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
        """The steps left of each run: `(workflow, kind, system)` in order.

        A run of a workflow that only a newer version knows is left to it.
        """
        if not run_ids:
            return {}
        with self._ledger.read() as connection:
            rows = connection.execute(
                select(runs.c.id, runs.c.workflow, runs.c.grant, steps.c.name)
                .join(steps, steps.c.run_id == runs.c.id)
                .where(runs.c.id.in_(list(run_ids)), steps.c.state == StepState.PENDING)
                .order_by(runs.c.id, steps.c.position)
            ).all()
        left: dict[str, set[str]] = {}
        about = {}
        for row in rows:
            left.setdefault(row.id, set()).add(row.name)
            about[row.id] = (row.workflow, row.grant)
        positions = {}
        for run_id in run_ids:  # in the order given
            if run_id in about and about[run_id][0] in WORKFLOWS:
                workflow, planned = about[run_id]
                positions[run_id] = [
                    (workflow, step.definition.kind, step.definition.system)
                    for step in WORKFLOWS[workflow].sequence(planned or {})
                    if step.name in left[run_id]
                ]
        return positions

    def _send_task(self, name: str, *args: str, queue: str = INGEST_QUEUE) -> bool:
        message = self._app.signature(f"cartbridge.{name}", args=args, immutable=True, queue=queue)
        return self._send(lambda: message.apply_async(retry=False))

    def _send(self, send: Callable[[], object]) -> bool:
        with self._lock:
            if self._now() < self._quiet_until:
                return False
        try:
            send()
        except Exception as error:  # noqa: BLE001  (whatever the broker does, the ledger sends it again)
            with self._lock:
                self._quiet_until = self._now() + _QUIET_SECONDS
            tell_broker_is_away(error)
            return False
        return True

    def broker_ok(self) -> bool:
        """Whether the broker answers right now."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
        except Exception:  # noqa: BLE001  (any failure means no)
            return False
        return True
