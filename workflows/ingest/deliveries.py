"""Hints: what a webhook or an operator says of an order is looked up at its source, recorded and planned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from sqlalchemy import Connection

from worker.advice import ADVICE
from worker.backoff import backoff_seconds
from worker.errors import AnotherRecordError, ApiError, NoAccessError, NotFoundError, WebhookRejectedError
from worker.ledger.orders import order_rows
from worker.ledger.orders.operator_entries import NamedSeat
from worker.ledger.orders.order_rows import TakenDelivery
from worker.ledger.orders.recorded_orders import lock_orders, unknown_order
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, Via
from worker.reasons import Reason
from worker.sources.order import Order, Payment
from worker.sources.source import Source, SubscriptionFoundError
from workflows.ingest.failed_looks import end_of_look
from workflows.ingest.half_written import READ_AGAIN_AFTER, is_half_written, is_known_whole
from workflows.ingest.repeats import Novelty, WebhookOnlyError, by_body, judge, leave
from workflows.ingest.set_aside import CONCERNS_ALL, describe_failure
from workflows.planning.model import Plan
from workflows.planning.offers import Offers
from workflows.planning.offers_file import OffersFile
from workflows.planning.seat_matching import Place
from workflows.recording.order_recording import Look, Recorded, preview, record_order
from workflows.recording.rereading import reread_order
from workflows.recording.source_start import note_contact
from workflows.recording.subscription_orders import plan_orders_of
from workflows.recording.subscription_status import (
    DEFAULT_RULES,
    SubscriptionRules,
    keep_subscriptions,
    record_subscription,
)

log = logging.getLogger(__name__)

NEXT_FETCH_SECONDS = 1.0
"""Hints that arrive during a fetch, or right after it, share the next one."""


@dataclass(frozen=True)
class SourcePolicy:
    """The settings of one source that ingest works by."""

    start_at: datetime | None = None
    baseline_days: int = 90
    trust_webhook: bool = False
    subscriptions: SubscriptionRules = DEFAULT_RULES


@dataclass
class Looked:
    """What looking at one order came to."""

    recorded: Recorded | None = None
    error: str | None = None
    taken: int = 0
    """How many deliveries this look answered."""
    ready: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Read:
    """An order, and when what is known of it was true."""

    order: Order
    at: datetime
    is_trusted: bool = False
    """It was read from a webhook's body, of which nobody knows how old it is."""


@dataclass(frozen=True)
class DeliveryReader:
    """Answers open deliveries: one fetch for all of an order's."""

    ledger: Ledger
    sources: Mapping[str, Source]
    policies: Mapping[str, SourcePolicy]
    offers: OffersFile
    _: KW_ONLY
    holder: str
    retry_base_seconds: float
    retry_max_seconds: float
    clock: Callable[[], datetime]
    rng: Random
    lease_seconds: float = 120.0

    def look(self, source_name: str, order_id: str) -> Looked:
        """Fetch, record and plan one order if a hint of it is due; otherwise do nothing.

        Commits the deliveries' lease, then the order with its plan and the deliveries' end. Killed in between, the
        lease runs out and the hint is due again. An order that cannot be fetched leaves its hints waiting, with a
        time; only the reasons a person must act on put them into review.
        """
        with self.ledger.write() as connection:
            taken = order_rows.take_deliveries(
                connection,
                source_name,
                order_id,
                holder=self.holder,
                now=self.clock(),
                lease_seconds=self.lease_seconds,
            )
        groups = by_body(taken) if self._is_trusting(source_name, taken) else [taken]
        return self._look_at_each(source_name, order_id, groups if taken else [])

    def _look_at_each(self, source_name: str, order_id: str, groups: list[list[TakenDelivery]]) -> Looked:
        looked = Looked()
        for group in groups:
            each = self._look_at(source_name, order_id, group)
            looked = Looked(each.recorded, each.error, looked.taken + each.taken, [*looked.ready, *each.ready])
        return looked

    def _is_trusting(self, source_name: str, taken: list[TakenDelivery]) -> bool:
        policy = self.policies.get(source_name)
        return policy is not None and policy.trust_webhook and all(row.via == Via.WEBHOOK for row in taken)

    def _look_at(self, source_name: str, order_id: str, taken: list[TakenDelivery]) -> Looked:
        offers = Offers()
        try:
            offers = self.offers.current()
            found = self._read(source_name, order_id, taken)
            if is_half_written(found.order):
                self._refuse_emptied(found.order)
                if all(row.reason != Reason.ORDER_INCOMPLETE for row in taken):
                    return self._read_again(found.order, taken)
        except SubscriptionFoundError as subscription:
            return self._take_subscription(source_name, order_id, taken, subscription, offers)
        except WebhookOnlyError:
            return self._look_at_each(source_name, order_id, by_body(taken))
        except Exception as error:  # noqa: BLE001  (of any class: what a record does concerns its own deliveries)
            return self._put_off(source_name, order_id, taken, error)
        try:
            recorded = self._record(source_name, found, taken, offers)
        except CONCERNS_ALL:
            raise
        except Exception as error:  # noqa: BLE001  (as above)
            return self._put_off(source_name, order_id, taken, error)
        return Looked(recorded, taken=len(taken), ready=recorded.ready)

    def _record(self, source_name: str, found: _Read, taken: list[TakenDelivery], offers: Offers) -> Recorded:
        actors = [row.actor for row in taken if row.via == Via.MANUAL]
        look = Look(
            fetched_at=found.at,
            actor=actors[0] if actors else Actor.SOURCE,
            manual=bool(actors),
            replan=any(row.replan for row in taken),
            delivery_ids=tuple(row.id for row in taken),
            is_present=not found.is_trusted,
        )
        now, order, policy = self.clock(), found.order, self.policies[source_name]
        rules, start_at = policy.subscriptions, policy.start_at
        with self.ledger.write() as connection:
            unseen = order_rows.lock_open_deliveries(connection, source_name, order.id)
            keep_subscriptions(connection, [order], rules, fetched_at=found.at, now=now, start_at=start_at)
            source = self.sources[source_name]
            row, novelty = None, Novelty.NEW
            if found.is_trusted:
                reread_order(connection, source, order.id, now=now)
                rows = lock_orders(connection, source_name, [order.id])
                row = rows.get(order.id) or unknown_order(order, fetched_at=found.at, now=now)
                novelty = judge(connection, source, order, row)
                look = replace(look, doubt=Reason.REPEATED_WEBHOOK if novelty is Novelty.DOUBTFUL else None)
            if row is not None and novelty is Novelty.OLD:
                recorded = leave(connection, order, row, look, now=now)
            else:
                recorded = record_order(
                    connection, order, offers, look, now=now, start_at=start_at, rules=rules, reread=source.reread
                )
            # What arrived during the fetch is news of its own: it shares one more fetch, a moment later.
            late = [each for each in unseen if each not in look.delivery_ids]
            order_rows.put_off_received(connection, late, until=now + timedelta(seconds=NEXT_FETCH_SECONDS))
        return recorded

    def _read(self, source_name: str, order_id: str, taken: list[TakenDelivery]) -> _Read:
        """The order, and when what is known of it was true: a trusted body is as old as its arrival."""
        source = self.sources.get(source_name)
        if source is None:
            raise NotFoundError(f"the source {source_name} is not configured", system=source_name, operation="fetch")
        bodies = [(row.body, row.received_at) for row in taken if row.body is not None]
        if not bodies:
            return self._fetch(source, order_id)
        if not self._is_trusting(source_name, taken):
            with suppress(NoAccessError):  # then what the bodies say is all that is known
                return self._fetch(source, order_id)
            if len(bodies) > 1:
                raise WebhookOnlyError
        body, received_at = bodies[-1]
        try:
            # The id was read where a setting says it stands, which the source need not know.
            order = source.from_body({**body, "id": order_id})
        except (SubscriptionFoundError, WebhookRejectedError) as error:
            found = error.subscription if isinstance(error, SubscriptionFoundError) else None
            says_little = isinstance(error, WebhookRejectedError) or (found is not None and found.is_partial)
            if says_little and (asked := self._try_to_fetch(source, order_id)) is not None:
                return asked  # an order after all
            raise
        is_bare = not order.buyer_email and not order.lines_known
        if is_bare and (order.payment is Payment.PAID or order.payment_unproven or not order.status):
            return self._fetch(source, order_id)
        trusted = _Read(order, received_at, is_trusted=True)
        # What tells little more than a status counts if the source cannot be asked.
        return (self._try_to_fetch(source, order_id) or trusted) if is_bare or order.payment_unproven else trusted

    def _try_to_fetch(self, source: Source, order_id: str) -> _Read | None:
        """The order as it is now, None where the source cannot tell. Raises `SubscriptionFoundError`."""
        try:
            return self._fetch(source, order_id)
        except SubscriptionFoundError:
            raise
        except ApiError:
            return None

    def _fetch(self, source: Source, order_id: str) -> _Read:
        fetched_at = self.clock()
        order = source.fetch(order_id)
        return _Read(source.annotate([order])[0] if order.payment is Payment.PAID else order, fetched_at)

    def _refuse_emptied(self, order: Order) -> None:
        """Raises `AnotherRecordError` where the ledger knows the whole order: the record says nothing new of it."""
        with self.ledger.read() as connection:
            if not is_known_whole(connection, order):
                return
        raise AnotherRecordError(
            "the order came with nobody and nothing in it, and was read whole before",
            system=order.source,
            operation="retrieve order",
        )

    def _read_again(self, order: Order, taken: list[TakenDelivery]) -> Looked:
        """Let the deliveries of a half-written order wait for a minute."""
        now = self.clock()
        with self.ledger.write() as connection:
            order_rows.lock_open_deliveries(connection, order.source, order.id)
            order_rows.release_deliveries(
                connection,
                [row.id for row in taken],
                state=DeliveryState.WAITING,
                reason=Reason.ORDER_INCOMPLETE,
                now=now,
                next_attempt_at=now + READ_AGAIN_AFTER,
                holder=self.holder,
            )
        return Looked(error=ADVICE[Reason.ORDER_INCOMPLETE].sentence, taken=len(taken))

    def _take_subscription(
        self, source_name: str, order_id: str, taken: list[TakenDelivery], found: SubscriptionFoundError, offers: Offers
    ) -> Looked:
        """Keep the subscription that a hint turned out to be about, and plan the orders it lists by it."""
        now, policy = self.clock(), self.policies[source_name]
        looked = Looked(taken=len(taken), error=str(found))
        with self.ledger.write() as connection:
            order_rows.lock_open_deliveries(connection, source_name, order_id)
            note_contact(connection, source_name, now=now, start_at=policy.start_at)
            if found.subscription is not None:
                record_subscription(connection, found.subscription, policy.subscriptions, fetched_at=now, now=now)
                looked.ready = plan_orders_of(
                    connection,
                    source_name,
                    found.subscription.id,
                    offers,
                    rules=policy.subscriptions,
                    start_at=policy.start_at,
                    now=now,
                )
            order_rows.release_deliveries(
                connection,
                [row.id for row in taken],
                state=DeliveryState.IGNORED,
                reason=Reason.SUBSCRIPTION_NEWS,
                now=now,
                holder=self.holder,
            )
        return looked

    def _put_off(self, source_name: str, order_id: str, taken: list[TakenDelivery], error: Exception) -> Looked:
        now = self.clock()
        failures = max(row.attempts for row in taken) + 1
        oldest = min(row.received_at for row in taken)
        wait = backoff_seconds(
            failures,
            base_seconds=self.retry_base_seconds,
            max_seconds=min(self.retry_max_seconds, 900.0),
            rng=self.rng,
            retry_after_seconds=getattr(error, "retry_after_seconds", None),
        )
        state, reason = end_of_look(
            error,
            age=now - oldest,
            is_manual=all(row.via == Via.MANUAL for row in taken),
            is_known=source_name in self.sources,
        )
        is_refused = isinstance(error, WebhookRejectedError)
        about = {"source": source_name, "order_id": order_id}
        note = str(error) if is_refused else describe_failure(error, self.ledger, **about)
        with self.ledger.write() as connection:
            order_rows.lock_open_deliveries(connection, source_name, order_id)
            order_rows.release_deliveries(
                connection,
                [row.id for row in taken],
                state=state,
                reason=reason,
                note=note[:500],
                now=now,
                next_attempt_at=now + timedelta(seconds=wait) if state is DeliveryState.WAITING else None,
                failed=True,
                holder=self.holder,
            )
        level = logging.INFO if state is DeliveryState.IGNORED else logging.WARNING
        log.log(level, "%s order %s: %s", source_name, order_id, note)
        return Looked(error=note, taken=len(taken))

    def replan(
        self,
        source_name: str,
        order_id: str,
        *,
        replan: bool = False,
        accepted: frozenset[Place] = frozenset(),
        actor: str = Actor.SOURCE,
        then: Callable[[Connection, Recorded], None] | None = None,
    ) -> Recorded | None:
        """Plan an order again from its last recorded content, and `then` in its transaction; None if it is not held.

        For an operator, who means the file as it stands, raises `OffersError` where it cannot be used.
        """
        offers = self.offers.current() if actor == Actor.SOURCE else self.offers.checked()
        now = self.clock()
        with self.ledger.write() as connection:
            order = order_rows.load_order(connection, source_name, order_id)
            if order is None:
                return None
            fetched_at = order_rows.fetched_at(connection, source_name, order_id)
            look = Look(fetched_at=fetched_at, actor=actor, replan=replan, accepted=accepted)
            policy = self.policies[source_name]
            rules = policy.subscriptions
            recorded = record_order(connection, order, offers, look, now=now, start_at=policy.start_at, rules=rules)
            if then is not None:
                then(connection, recorded)
            return recorded

    def preview(
        self,
        source_name: str,
        order_id: str,
        *,
        replan: bool = False,
        accepted: frozenset[Place] = frozenset(),
        named: tuple[NamedSeat, ...] = (),
    ) -> Plan | None:
        """What `replan` would do, with `named` seats, without doing it; None if the ledger does not hold the order.

        Raises `OffersError`.
        """
        offers = self.offers.checked()
        with self.ledger.read() as connection:
            order = order_rows.load_order(connection, source_name, order_id)
            if order is None:
                return None
            look = Look(
                fetched_at=order_rows.fetched_at(connection, source_name, order_id),
                replan=replan,
                accepted=accepted,
                named=named,
            )
            policy = self.policies[source_name]
            return preview(connection, order, offers, look, start_at=policy.start_at, rules=policy.subscriptions)

    def has_seat(self, connection: Connection, source_name: str, order_id: str, run_id: str) -> bool:
        """Whether an order still has the seat of a run, as far as the ledger knows."""
        order = order_rows.load_order(connection, source_name, order_id)
        if order is None:
            return True
        look, policy = Look(order_rows.fetched_at(connection, source_name, order_id)), self.policies[source_name]
        offers, rules = self.offers.current(), policy.subscriptions
        plan = preview(connection, order, offers, look, start_at=policy.start_at, rules=rules)
        return run_id not in plan.gone

    def preview_fetched(self, source_name: str, order_id: str) -> tuple[Order, Plan]:
        """Fetch an order and tell what ingesting it by name would do, without doing it.

        Raises `ApiError`, `OffersError`.
        """
        offers = self.offers.current()
        found = self._fetch(self.sources[source_name], order_id)
        with self.ledger.read() as connection:
            look = Look(fetched_at=found.at, manual=True)
            policy = self.policies[source_name]
            plan = preview(connection, found.order, offers, look, start_at=policy.start_at, rules=policy.subscriptions)
            return found.order, plan
