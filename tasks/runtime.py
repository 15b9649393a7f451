"""What a process works with: the ledger, the clients, the sources and the operations, made once from the settings.

A task finds its process's by `runtime_of`: it is made on first use, and anew in a forked child.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final, TypeVar

from celery import Celery

from tasks.dispatch import Dispatcher
from worker.broker.app import create_celery
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.learningcart.client import LearningCartClient
from worker.clients.mail.client import MailClient
from worker.clients.no_access import NoAccess
from worker.clients.rate import SharedSlots, shared_slots
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.threedcart.client import ThreedcartClient
from worker.errors import ConfigurationError
from worker.ledger.clock import utc_now
from worker.ledger.learners.sealed_passwords import PasswordSeal
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, Via
from worker.mail_templates import MailTemplates
from worker.observability.logs import known_secrets
from worker.observability.tracing_setup import configure_tracing
from worker.reasons import Reason
from worker.settings.mail import keys_in
from worker.settings.settings import Settings
from worker.sources.frontcore import FrontcoreSource
from worker.sources.source import Source, SubscriptionFoundError, SubscriptionSource
from worker.sources.studiocart import StudiocartSource
from worker.sources.threedcart import ThreedcartSource
from workflows.descriptions import describe_plan
from workflows.enrolment.mailer import MAIL, Mailer
from workflows.execution.executor import Executor, Timing
from workflows.execution.retry_policy import Patience, RetryPolicy
from workflows.ingest.backfill import Backfiller
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.ingest.order_polling import Poller
from workflows.ingest.subscription_polling import SubscriptionPoller
from workflows.monitoring.outage_alarm import LEDGER_AWAY_ALARM, OutageAlarm
from workflows.operations.replay import Operations
from workflows.planning.offers_file import OffersFile
from workflows.recording.subscription_status import SubscriptionRules
from workflows.registry import WORKFLOWS


@dataclass(frozen=True)
class IngestResult:
    """What ingesting one order by name came to."""

    source: str
    order_id: str
    state: str
    """The order's state, or the delivery's when the order could not be read."""
    ok: bool
    delivery_id: str | None = None
    reason: str | None = None
    note: str | None = None
    plan_lines: tuple[str, ...] = ()
    created: tuple[str, ...] = ()


_CLIENTS: Final[dict[str, Callable[..., Any]]] = {
    "learningcart": LearningCartClient,
    "studiocart": StudiocartClient,
    "frontcore": FrontcoreClient,
    "threedcart": ThreedcartClient,
}
_REQUESTS_A_PAGE = 5
"""So many, at most, are made between two pages of a walk."""

_Poller = TypeVar("_Poller", Poller, SubscriptionPoller)

Clock = Callable[[], datetime]
"""Tells the time, aware and in UTC."""


class Runtime:
    """One process's parts. Threads may share it; a forked child makes its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        app: Celery | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        """Set when the process should end: long work stops at its next commit."""
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        """Names this process as a lease's holder."""
        self.tracing = configure_tracing(settings.tracing, self.holder)
        self.app = app or create_celery(settings)
        # Now, by one thread: a worker and a beat that finalize it at the same moment can leave it without its tasks.
        self.app.finalize()
        self.ledger = Ledger(settings.database_url.get_secret_value(), pool_size=settings.worker.concurrency + 2)
        self.clock = clock = clock or self.ledger.clock(utc_now)
        self.ledger_alarm = OutageAlarm(LEDGER_AWAY_ALARM, repeat_seconds=settings.alerts.repeat_seconds, clock=clock)
        self.app.now = clock  # beat says by it until when a message counts, and a worker judges by it
        self.offers = OffersFile(settings.offers_file, self.ledger)
        self.clients: dict[str, Any] = {}
        self.sources: dict[str, Source] = {}
        """Those that can be asked."""
        self._webhook_only: dict[str, Source] = {}
        """Those of which nothing is known but what their webhooks' bodies say."""
        self._connect_systems()
        rules = SubscriptionRules(settings.studiocart.subscription_ends, settings.studiocart.trials)
        self.policies = {
            system.system: SourcePolicy(system.start_at, system.baseline_days, system.trust_webhook, rules)
            for system in (settings.studiocart, settings.frontcore, settings.threedcart)
        }
        rng = rng or Random()  # noqa: S311  (jitter, not a secret)
        self.delivery_reader = DeliveryReader(
            self.ledger,
            ChainMap(self.sources, self._webhook_only),
            self.policies,
            self.offers,
            holder=self.holder,
            retry_base_seconds=settings.retry.base_seconds,
            retry_max_seconds=settings.retry.max_seconds,
            clock=clock,
            rng=rng,
            lease_seconds=self._reading_lease_seconds(),
        )
        self.executor = self._executor(rng)
        self.operations = Operations(self.ledger, self.delivery_reader, check_source=self.check_source, clock=clock)
        self.dispatcher = Dispatcher(self.app, self.ledger)

    @property
    def patience(self) -> Patience:
        """How long runs are tried, and how long what was sent is waited for."""
        retry, settle_seconds = self.settings.retry, self.settings.settle_seconds
        return Patience(retry.base_seconds, retry.max_seconds, retry.max_attempts, settle_seconds)

    def _executor(self, rng: Random) -> Executor:
        settings = self.settings
        return Executor(
            self.ledger,
            WORKFLOWS,
            self.clients,
            timing=Timing(
                lease_seconds=settings.lease_seconds,
                call_seconds={
                    system.system: system.connect_timeout_seconds + system.read_timeout_seconds
                    for system in (settings.learningcart, settings.threedcart)
                }
                | {MAIL: settings.mail.connect_timeout_seconds + settings.mail.read_timeout_seconds},
            ),
            retry_policy=RetryPolicy(self.patience, rng),
            holder=self.holder,
            clock=self.clock,
        )

    def _connect_systems(self) -> None:
        settings = self.settings
        slots = shared_slots(settings.broker_url.get_secret_value())
        for name, system in settings.systems().items():
            if system.is_configured:
                self.clients[name] = _CLIENTS[name](system, secrets=known_secrets, slots=slots)
        for name, section in settings.sources().items():
            if name in self.clients:
                self.sources[name] = self._source(name, self.clients[name])
            else:
                self._webhook_only[name] = self._source(name, NoAccess(name, section.missing()))
        mailer = _mailer(settings, slots)
        if mailer is not None:
            self.clients[MAIL] = mailer

    def _source(self, name: str, client: Any) -> Source:
        settings, clock = self.settings, self.clock
        if name == "studiocart":
            return StudiocartSource(client, clock=clock, trials=settings.studiocart.trials)
        if name == "frontcore":
            return FrontcoreSource(client, provision_when=settings.frontcore.provision_when, clock=clock)
        store = settings.threedcart
        return ThreedcartSource(client, zone=store.zone, paid_statuses=store.paid_status_ids, clock=clock)

    def _reading_lease_seconds(self) -> float:
        """How long a process that vanished while it read an order is waited for: its request, and two more about it."""
        sources = self.settings.sources().values()
        slowest = max((each.connect_timeout_seconds + each.read_timeout_seconds for each in sources), default=0.0)
        return max(self.settings.lease_seconds, 3 * slowest)

    def _polling_lease_seconds(self, source: str) -> float:
        """How long a process that vanished while it polled is waited for.

        A walk renews its lease with every page, so it must outlast a page: its request, those for smaller pages after
        it came too late, and one more about its orders.
        """
        section = self.settings.sources()[source]
        a_request_seconds = section.connect_timeout_seconds + section.list_timeout_seconds
        return max(self.settings.lease_seconds, _REQUESTS_A_PAGE * a_request_seconds)

    def check_source(self, source: str) -> None:
        """Raise `ConfigurationError` for a source that cannot be asked."""
        if source not in self.sources:
            raise ConfigurationError(self.settings.why_source_is_off(source))

    def poller(self, source: str) -> Poller:
        """What polls a source; `ConfigurationError` if it is not configured."""
        self.check_source(source)
        return self._polling(Poller, source, self.sources[source])

    def subscription_poller(self, source: str) -> SubscriptionPoller | None:
        """What polls a source's subscriptions; None if it knows none, or is not configured."""
        found = self.sources.get(source)
        if not isinstance(found, SubscriptionSource):
            return None
        return self._polling(SubscriptionPoller, source, found)

    def _polling(self, kind: Callable[..., _Poller], source: str, asked: Source) -> _Poller:
        return kind(
            self.ledger,
            asked,
            self.policies[source],
            self.offers,
            holder=f"{self.holder}:{secrets.token_hex(4)}",
            clock=self.clock,
            should_stop=self.stopping.is_set,
            lease_seconds=self._polling_lease_seconds(source),
        )

    def backfiller(self, source: str) -> Backfiller:
        """What takes in a source's history; `ConfigurationError` if it is not configured."""
        self.check_source(source)
        return Backfiller(self.ledger, self.sources[source], self.policies[source], self.offers, clock=self.clock)

    def ingest(self, source: str, order_id: str, *, actor: str, dry_run: bool = False) -> IngestResult:
        """Fetch and plan one order by name, in this process, and send its runs to the workers.

        Commits a `manual` delivery first, so that even a crash in between leaves the order to be looked at. With
        `dry_run` nothing is written. Raises `ConfigurationError`; on `dry_run` also `ApiError`.
        """
        self.check_source(source)
        if dry_run:
            try:
                order, plan = self.delivery_reader.preview_fetched(source, order_id)
            except SubscriptionFoundError as found:
                news, state = Reason.SUBSCRIPTION_NEWS, DeliveryState.IGNORED
                return IngestResult(source, order_id, state, ok=False, reason=news, note=str(found))
            return IngestResult(
                source, order.id, plan.state, ok=True, reason=plan.reason, plan_lines=describe_plan(plan)
            )
        now = self.clock()
        with self.ledger.write() as connection:
            delivery_id = order_rows.insert_delivery(
                connection, source=source, order_id=order_id, via=Via.MANUAL, actor=actor, now=now, sent=True
            )
        looked = self.delivery_reader.look(source, order_id)
        if looked.recorded is None:
            return self._unread(source, order_id, delivery_id, looked.error)
        self.dispatcher.send_runs(looked.ready)
        return IngestResult(
            source,
            order_id,
            looked.recorded.plan.state,
            ok=True,
            delivery_id=delivery_id,
            reason=looked.recorded.plan.reason,
            plan_lines=describe_plan(looked.recorded.plan),
            created=tuple(looked.recorded.created),
        )

    def _unread(self, source: str, order_id: str, delivery_id: str, error: str | None) -> IngestResult:
        """The order was not read.

        Its source failed, or another process is reading it for all its deliveries, ours too.
        """
        with self.ledger.read() as connection:
            row = order_rows.delivery_state(connection, delivery_id)
        state = DeliveryState(row.state)
        return IngestResult(
            source,
            order_id,
            state,
            ok=error is None,
            delivery_id=delivery_id,
            reason=row.reason,
            note=error
            or row.note
            or "the order is being read for another delivery right now; this one shares the answer",
        )

    def close(self) -> None:
        """Let go of connections. The runtime cannot be used afterwards."""
        for client in self.clients.values():
            client.close()
        self.app.close()
        self.ledger.close()
        self.tracing.close()


def _mailer(settings: Settings, slots: SharedSlots | None) -> Mailer | None:
    """What mails; None where mail is not configured. Registers the password and the keys as secrets."""
    mail, passwords = settings.mail, settings.passwords
    if not mail.is_configured:
        return None
    keys = [] if passwords.key is None else keys_in(passwords.key)
    for key in keys:
        known_secrets.add(key)
    host = (settings.learningcart.site_hostname or "").removeprefix("https://").removeprefix("http://").rstrip("/")
    return Mailer(
        MailClient(mail, secrets=known_secrets, slots=slots),
        MailTemplates(mail.templates_directory),
        login_url=f"https://{host}",
        seal=PasswordSeal(keys) if keys else None,
        mails_passwords=passwords.mode == "mail" and bool(keys),
    )


_lock = threading.Lock()
_runtimes: dict[tuple[int, int], Runtime] = {}


def runtime_of(app: Celery) -> Runtime:
    """This process's runtime for an application."""
    key = (os.getpid(), id(app))
    with _lock:
        runtime = _runtimes.get(key)
        if runtime is None:
            runtime = _runtimes[key] = Runtime(app.settings, app=app)
        return runtime


def adopt_runtime(runtime: Runtime) -> None:
    """Let the tasks of this process work with a runtime that exists already (`cartbridge up`, the tests)."""
    with _lock:
        _runtimes[(os.getpid(), id(runtime.app))] = runtime
