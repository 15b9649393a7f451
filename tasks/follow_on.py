"""The tasks of the `follow_on` workflow: completions polled, one task a step, and unused carts deleted."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step_task
from worker.broker.schedule import completions_ask_seconds, events_of
from worker.clients.threedcart.client import SYSTEM as THREEDCART
from worker.ledger.follow_on.completions import last_poll_at
from workflows.enrolment.steps import LEARNINGCART
from workflows.follow_on.cart_cleanup import UnusedCarts
from workflows.follow_on.completions import CompletionsPoller
from workflows.follow_on.planner import FollowOnPlanner
from workflows.follow_on.steps import ADD_CART_ITEM, CHECK_CART, CREATE_CART, NOTIFIERS, SEND_FOLLOW_ON_MAIL, TELL
from workflows.ingest.order_polling import is_due

log = logging.getLogger(__name__)


create_cart = step_task("cartbridge.follow_on.create_cart", CREATE_CART)
"""Make an empty cart for the learner, unless the item was bought meanwhile."""
add_cart_item = step_task("cartbridge.follow_on.add_cart_item", ADD_CART_ITEM)
"""Put the item into the cart, or find the one that was put there."""
check_cart = step_task("cartbridge.follow_on.check_cart", CHECK_CART)
"""Read the cart back, and keep the address of its checkout."""
tell = step_task("cartbridge.follow_on.tell", TELL)
"""Tell the operator's own system of the cart, by an event."""
send_follow_on_mail = step_task("cartbridge.follow_on.send_follow_on_mail", SEND_FOLLOW_ON_MAIL)
"""Tell the learner of the cart, by mail."""


@shared_task(name="cartbridge.delete_unused_carts", base=LedgerTask, bind=True)
def delete_unused_carts(self: Task) -> None:
    """Delete the carts that were not checked out in time. Safe to double: the ledger knows which were looked at."""
    runtime = runtime_of(self.app)
    if THREEDCART not in runtime.clients:
        return
    done = UnusedCarts(
        runtime.ledger,
        runtime.clients[THREEDCART],
        runtime.settings.follow_on.cart_days,
        runtime.clock,
        runtime.settings.threedcart.orders_enabled,
        runtime.stopping.is_set,
    ).delete()
    if done:
        log.info(
            "carts not checked out in time: %s", ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
        )


def planner(runtime: Runtime) -> FollowOnPlanner:
    """What plans follow-on carts, by the offers of the moment and the settings of this process."""
    return FollowOnPlanner(
        runtime.offers.in_force, notify=notifier(runtime), start_at=runtime.settings.follow_on.start_at
    )


def notifier(runtime: Runtime) -> str:
    """Who learns of a cart: whom the settings name, if there is a way to reach them."""
    settings = runtime.settings
    able = {"none": True, "event": events_of(settings) is not None, "mail": settings.mail.is_configured}
    wanted = settings.follow_on.notify
    if wanted is not None:
        return wanted if able[wanted] and wanted in NOTIFIERS else "none"
    return next(name for name in ("mail", "event", "none") if able[name] and name in NOTIFIERS)


@shared_task(name="cartbridge.poll_completions", base=LedgerTask, bind=True)
def poll_completions(self: Task) -> None:
    """Read the completions, if the last poll is long enough ago. Safe to double: the ledger knows whose poll it is."""
    runtime = runtime_of(self.app)
    poll_seconds = runtime.settings.learningcart.poll_seconds
    if LEARNINGCART not in runtime.clients or not poll_seconds:
        return
    # Half a question early: the next one would come half a question late.
    due_after_seconds = poll_seconds - completions_ask_seconds(poll_seconds) / 2
    with runtime.ledger.read() as connection:
        due = is_due(last_poll_at(connection), now=runtime.clock(), poll_seconds=due_after_seconds)
    if due:
        completions_poller(runtime).poll()


def completions_poller(runtime: Runtime) -> CompletionsPoller:
    """What polls the completions, with this process's client of LearningCart."""
    section = runtime.settings.learningcart
    options = runtime.settings.completions
    return CompletionsPoller(
        runtime.ledger,
        runtime.clients[LEARNINGCART],
        holder=f"{runtime.holder}:{secrets.token_hex(4)}",
        clock=runtime.clock,
        # It must outlast one call, with a new token for it.
        lease_seconds=max(
            runtime.settings.lease_seconds, 3 * (section.connect_timeout_seconds + section.read_timeout_seconds)
        ),
        baseline=timedelta(days=options.baseline_days),
        span=timedelta(days=options.span_days),
        sends_events=events_of(runtime.settings) is not None,
        follow_on=planner(runtime),
        should_stop=runtime.stopping.is_set,
    )
