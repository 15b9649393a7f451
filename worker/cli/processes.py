"""The long-running processes: `web`, `worker`, `beat`, and `up`, which is all three in one."""

from __future__ import annotations

import logging
import os
import signal
import threading
from functools import partial
from typing import Any

from celery import signals
from celery.beat import EmbeddedService
from celery.worker import state as worker_state
from fastapi import FastAPI

from tasks.control import queue_depths
from tasks.notifications import sender_of
from tasks.runtime import Runtime, adopt_runtime
from worker.broker.queues import QUEUES
from worker.broker.schedule import LedgerScheduler
from worker.cli.process_memory import spare_collections, spare_memory
from worker.errors import ConfigurationError
from worker.formatting import counted
from worker.ledger.guards import guard_warning
from worker.ledger.lock import ProcessLock
from worker.ledger.runs import due
from worker.observability.logs import configure_logging
from worker.settings.settings import Settings
from worker.settings.warnings import warnings_of
from worker.web.app import create_app
from worker.web.page.actions.operator import Operator
from worker.web.server import WebServer
from workflows.monitoring.outage_alarm import BROKER_AWAY_ALARM, OutageAlarm

log = logging.getLogger(__name__)


def run_up(settings: Settings) -> int:
    """Web, worker and beat in this process until SIGTERM or SIGINT; returns the exit code.

    Migrates a SQLite ledger first. Where nobody else works on it (a lock and a broker of its own say so), whatever an
    earlier process held is taken over at once. Raises `ConfigurationError` before anything is started.
    """
    spare_memory()
    configure_logging(settings)
    runtime = Runtime(settings)
    lock = ProcessLock(runtime.ledger.path) if runtime.ledger.path is not None else None
    try:
        is_alone = lock.acquire() if lock is not None else False
        if runtime.ledger.is_sqlite and not runtime.ledger.is_current():
            runtime.ledger.migrate()
        runtime.ledger.check_schema()
        _check_guards(runtime)
        _check_offers(runtime)
        _say_what_is_off(runtime)
        if is_alone and settings.embedded:  # else workers may share the broker and the file, and take no lock
            _take_over(runtime)
        adopt_runtime(runtime)
        return _run_all(runtime)
    finally:
        runtime.close()
        if lock is not None:
            lock.release()


def run_web(settings: Settings) -> int:
    """The HTTP server alone, until SIGTERM or SIGINT; returns the exit code."""
    spare_memory()
    configure_logging(settings)
    runtime = Runtime(settings)
    try:
        runtime.ledger.check_schema()
        _check_guards(runtime)
        server = WebServer(settings, _web_app(runtime))
        spare_collections()
        server.serve()
    finally:
        runtime.close()
    return 0


def run_worker(settings: Settings) -> int:
    """A Celery worker on every queue, until SIGTERM or SIGINT (calls under way end first); returns the exit code."""
    _refuse_memory(settings, "worker")
    spare_memory()
    configure_logging(settings)
    runtime = Runtime(settings)
    runtime.ledger.check_schema()
    _check_guards(runtime)
    _check_offers(runtime)
    _say_what_is_off(runtime)
    if settings.worker.pool != "prefork":
        # A forked child must not inherit connections: there each child makes a runtime of its own.
        adopt_runtime(runtime)
    _note_stopping(runtime)
    try:
        return _work(runtime, settings.worker.pool)
    finally:
        runtime.close()


def run_beat(settings: Settings) -> int:
    """The scheduler alone, until SIGTERM or SIGINT. Two of them are harmless; returns the exit code."""
    _refuse_memory(settings, "beat")
    spare_memory()
    configure_logging(settings)
    runtime = Runtime(settings)
    runtime.ledger.check_schema()
    _send_first(runtime)
    _watch_broker(runtime)
    spare_collections()
    runtime.app.Beat(loglevel="INFO", quiet=True).run()
    return 0


def _web_app(runtime: Runtime) -> FastAPI:
    return create_app(
        runtime.settings,
        runtime.ledger,
        runtime.dispatcher,
        clock=runtime.clock,
        queue_depths=lambda: queue_depths(runtime.app),
        operator=Operator(runtime.operations, runtime.dispatcher),
    )


def _run_all(runtime: Runtime) -> int:
    settings = runtime.settings
    _note_stopping(runtime)
    server = WebServer(settings, _web_app(runtime))
    server.start()
    threading.Thread(target=_end_with_web, args=(runtime, server), name="web-watch", daemon=True).start()
    # Named here: the service in a thread does not ask the configuration, and would keep its schedule in a file.
    beat = EmbeddedService(runtime.app, thread=True, scheduler_cls=LedgerScheduler)
    beat.start()
    _send_first(runtime)
    try:
        # A forked pool would not share the memory broker: one process is one process.
        return _work(runtime, "threads" if settings.worker.pool == "prefork" else settings.worker.pool)
    finally:
        beat.stop()
        server.stop()


def _end_with_web(runtime: Runtime, server: WebServer) -> None:
    """A process without its web server would take no webhooks and look alive: it ends, to be started again."""
    server.join()
    if not runtime.stopping.is_set():
        log.critical("the web server ended by itself; the process ends too")
        os.kill(os.getpid(), signal.SIGTERM)


def _work(runtime: Runtime, pool: str) -> int:
    worker = runtime.app.Worker(
        pool=pool,
        concurrency=runtime.settings.worker.concurrency,
        queues=",".join(QUEUES),
        loglevel=logging.INFO,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=not runtime.settings.worker.events,
        quiet=True,
    )
    spare_collections()
    worker.start()
    if runtime.stopping.is_set() and not worker_state.should_terminate:
        return 0  # Celery takes Ctrl-C for a failure, though it ends as calmly as by SIGTERM
    return int(worker.exitcode or 0)


def _send_first(runtime: Runtime) -> None:
    """Begin at once, not after the first interval: what is due, and a look at every source."""
    runtime.dispatcher.send_sweep()
    for name, source in runtime.settings.sources().items():
        if source.asked_every_seconds > 0:
            runtime.dispatcher.send_poll(name)


def _watch_broker(runtime: Runtime) -> None:
    """Have beat tell the operator of a broker that is away: no worker is sent the task of telling."""
    options = runtime.settings.alerts
    if not options.is_configured:
        return
    alarm = OutageAlarm(BROKER_AWAY_ALARM, repeat_seconds=options.repeat_seconds, clock=runtime.clock)

    def send(title: str, text: str) -> None:
        sender_of(options)(title, text)

    runtime.app.note_broker = partial(alarm.note, send)


def _note_stopping(runtime: Runtime) -> None:
    def stop(**_: Any) -> None:
        runtime.stopping.set()

    signals.worker_shutting_down.connect(stop, weak=False)


def _take_over(runtime: Runtime) -> None:
    with runtime.ledger.write() as connection:
        held = due.break_leases(connection, now=runtime.clock())
    if held:
        log.warning("took over %s of a process that ended without finishing them", counted(held, "run"))


def _check_guards(runtime: Runtime) -> None:
    """Say so, loudly, where the audit trail can be rewritten; orders go on."""
    with runtime.ledger.read() as connection:
        warning = guard_warning(connection)
    if warning is not None:
        log.error("%s", warning)


def _check_offers(runtime: Runtime) -> None:
    offers = runtime.offers.current()
    log.info("%s, %s", counted(len(offers.offers), "offer"), counted(len(offers.ignores), "ignore"))


def _say_what_is_off(runtime: Runtime) -> None:
    for warning in warnings_of(runtime.settings):
        log.warning(warning)
    sources, systems = runtime.settings.sources(), runtime.settings.systems()
    if not sources and not any(system.is_configured for system in systems.values()):
        log.warning("nothing is configured: no order comes in. Begin with: cartbridge init")
    for name, system in systems.items():
        if not system.is_configured and name not in sources:
            log.info("%s is off: %s not set", name, ", ".join(system.missing()))


def _refuse_memory(settings: Settings, command: str) -> None:
    if settings.embedded:
        raise ConfigurationError(
            f"`cartbridge {command}` needs a broker that processes share, and CARTBRIDGE_BROKER_URL is memory://. "
            "Set it to redis://…, or run `cartbridge up`."
        )
