"""Subscriptions: reads a source's subscriptions, keeps them, and plans their orders by what became of them.

Two steps, each safe to repeat. What is read is kept page by page, and the cursor moves in the transactions of the
pages. What is kept and not yet applied stands in the ledger, so that a death in between leaves it for the next poll:
each subscription's orders are then planned anew in one transaction, with what that asks of people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from worker.clients.unreadable import problem_of
from worker.errors import ApiError
from worker.ledger import leases
from worker.ledger.orders import subscription_rows
from worker.ledger.periodic.list_polls import ListName, take_poll, write_poll
from worker.ledger.session import Ledger
from worker.ledger.tables.periodic import ListPoll
from worker.sources.source import SubscriptionPage, SubscriptionSource
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.set_aside import CONCERNS_ALL, describe_failure
from workflows.planning.offers import Offers
from workflows.planning.offers_file import OffersFile
from workflows.recording.subscription_orders import plan_orders_of
from workflows.recording.subscription_status import record_subscription

_LIST: Final = ListName.SUBSCRIPTIONS
log = logging.getLogger(__name__)

DEEP_SWEEP_EVERY: Final = timedelta(days=1)
_JUDGED_AT_ONCE: Final = 200


@dataclass
class SubscriptionsPolled:
    """What one poll came to."""

    pages: int = 0
    changed: int = 0
    judged: int = 0
    ready: list[str] = field(default_factory=list)
    """The runs that are due now and should be sent to the workers."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """What cannot be read, kept or applied, by its id, and why. It is reported as the poll's failure."""
    error: str | None = None
    busy: bool = False
    """Another poll is under way: nothing was done."""


@dataclass(frozen=True)
class SubscriptionPoller:
    """Polls one source's subscriptions. Harmless when two run: the cursor's lease lets one in."""

    ledger: Ledger
    source: SubscriptionSource
    policy: SourcePolicy
    offers: OffersFile
    _: KW_ONLY
    holder: str
    clock: Callable[[], datetime]
    should_stop: Callable[[], bool] = lambda: False
    lease_seconds: float = 300.0

    def poll(self) -> SubscriptionsPolled:
        """Read what changed, most recently changed first, until a full page is unchanged; then apply what is new.

        The first time, once a day, and after a poll that did not reach its end, all of them are read: a touched list
        may hide a change below a page without one. Never raises for what the source does: the failure is recorded at
        the cursor, and the next poll begins again.
        """
        polled = SubscriptionsPolled()
        now = self.clock()
        with self.ledger.write() as connection:
            cursor = take_poll(
                connection,
                self.source.name,
                _LIST,
                holder=self.holder,
                now=now,
                lease_seconds=self.lease_seconds,
            )
        if cursor is None:
            polled.busy = True
            return polled
        try:
            offers = self.offers.current()
            swept_at = cursor.deep_swept_at
            is_deep = swept_at is None or abs(now - swept_at) >= DEEP_SWEEP_EVERY or not cursor.position.get("whole")
            self._walk(polled, is_deep=is_deep)
            self._judge(polled, offers)
        except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the poll)
            return self._fail(polled, cursor, describe_failure(error, self.ledger))
        if polled.set_aside:  # all others are kept and applied; the next poll reads them all again
            return self._fail(polled, cursor, _set_aside_problem(polled.set_aside))
        done: dict[str, Any] = {"deep_swept_at": now} if is_deep else {}
        done |= {"position": {"whole": True}, "last_success_at": self.clock(), "last_error": None, "failures": 0}
        self._let_go(**done)
        return polled

    def _fail(self, polled: SubscriptionsPolled, cursor: ListPoll, error: str) -> SubscriptionsPolled:
        polled.error = error
        log.warning("polling the subscriptions of %s failed: %s", self.source.name, error)
        self._let_go(last_error=error[:500], failures=cursor.failures + 1)
        return polled

    def _let_go(self, **values: Any) -> None:
        with self.ledger.write() as connection:
            write_poll(connection, self.source.name, _LIST, holder=self.holder, **leases.FREE, **values)

    def _walk(self, polled: SubscriptionsPolled, *, is_deep: bool) -> None:
        for page in self.source.subscription_pages():
            if self.should_stop():
                raise self._stopped("the process ends")
            polled.pages += 1
            polled.set_aside |= {each.order_id or each.fingerprint: each.problem for each in page.unreadable}
            changed = self._keep_each(page, polled)
            polled.changed += changed
            if page.problem is not None:
                raise page.problem
            if not changed and not is_deep:
                return

    def _stopped(self, why: str) -> ApiError:
        return ApiError(f"stopped: {why}", system=self.source.name, operation="subscriptions", retryable=True)

    def _keep_each(self, page: SubscriptionPage, polled: SubscriptionsPolled) -> int:
        """Keep a page; where one of its subscriptions prevents that, each by itself."""
        try:
            return self._keep(page)
        except CONCERNS_ALL:
            raise
        except Exception:  # noqa: BLE001  (of any class; each subscription then shows whose it is)
            changed = 0
            for subscription in page.subscriptions:
                try:
                    changed += self._keep(replace(page, subscriptions=(subscription,)))
                except CONCERNS_ALL:
                    raise
                except Exception as error:  # noqa: BLE001
                    polled.set_aside[subscription.id] = problem_of(error)
            return changed

    def _keep(self, page: SubscriptionPage) -> int:
        """Keep a page in one transaction; how much of it a poll had not seen."""
        by_id = {subscription.id: subscription for subscription in page.subscriptions}
        now = self.clock()
        with self.ledger.write() as connection:
            seen = subscription_rows.polled_hashes(connection, self.source.name, list(by_id))
            changed = [
                subscription
                for _, subscription in sorted(by_id.items())
                if seen.get(subscription.id) != subscription_rows.content_hash(subscription)
            ]
            self._hold(connection, now, position={"whole": False})
            for subscription in changed:
                rules = self.policy.subscriptions
                record_subscription(connection, subscription, rules, fetched_at=page.fetched_at, now=now, polled=True)
        return len(changed)

    def _hold(self, connection: Connection, now: datetime, **values: Any) -> None:
        """Keep the cursor's lease alive; one that was lost stops the poll before it writes."""
        lease = leases.leased(self.holder, now=now, lease_seconds=self.lease_seconds)
        if not write_poll(connection, self.source.name, _LIST, holder=self.holder, **lease, **values):
            raise self._stopped("another poll took over")

    def _judge(self, polled: SubscriptionsPolled, offers: Offers) -> None:
        """Plan the orders of every subscription whose change is not applied yet, each subscription in one transaction.

        Also of those that have ended and whose orders gave access only since: a run may end after its subscription.
        """
        done: set[str] = set()
        while True:
            with self.ledger.read() as connection:
                due = subscription_rows.to_judge(connection, self.source.name, limit=len(done) + _JUDGED_AT_ONCE)
            fresh = [subscription_id for subscription_id in due if subscription_id not in done]
            for subscription_id in fresh:
                if self.should_stop():
                    raise self._stopped("the process ends")
                due_before = len(polled.ready)
                try:
                    self._judge_one(subscription_id, offers, polled)
                except CONCERNS_ALL:
                    raise
                except Exception as error:  # noqa: BLE001  (of any class: the others' orders go on)
                    del polled.ready[due_before:]
                    polled.set_aside[subscription_id] = problem_of(error)
            done |= set(fresh)
            polled.judged = len(done)
            if not fresh:
                return

    def _judge_one(self, subscription_id: str, offers: Offers, polled: SubscriptionsPolled) -> None:
        now = self.clock()
        with self.ledger.write() as connection:
            self._hold(connection, now)
            polled.ready += plan_orders_of(
                connection,
                self.source.name,
                subscription_id,
                offers,
                rules=self.policy.subscriptions,
                start_at=self.policy.start_at,
                now=now,
            )


def _set_aside_problem(set_aside: dict[str, str]) -> str:
    named = "; ".join(f"subscription {each}: {problem}" for each, problem in sorted(set_aside.items())[:3])
    more = f"; and {len(set_aside) - 3} more" if len(set_aside) > 3 else ""
    return f"Set aside, all others go on: {named}{more}"
