"""The tasks of the `follow_on` workflow, one a step, and the one that deletes carts nobody checked out."""

from __future__ import annotations

import logging

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.process import runtime_of
from tasks.runtime import Runtime
from tasks.steps import StepTask, bind
from worker.broker.app import events_of
from worker.clients.threedcart.client import SYSTEM as THREEDCART
from workflows.follow_on.cart_cleanup import UnusedCarts
from workflows.follow_on.mail import SEND_FOLLOW_ON_MAIL
from workflows.follow_on.planner import FollowOnPlanner
from workflows.follow_on.steps import ADD_CART_ITEM, CHECK_CART, CREATE_CART, NOTIFIERS, TELL

log = logging.getLogger(__name__)


@shared_task(name="cartbridge.follow_on.create_cart", **bind(CREATE_CART))
def create_cart(self: StepTask, run_id: str) -> None:
    """Make an empty cart for the learner, unless the item was bought meanwhile."""
    self.work(run_id)


@shared_task(name="cartbridge.follow_on.add_cart_item", **bind(ADD_CART_ITEM))
def add_cart_item(self: StepTask, run_id: str) -> None:
    """Put the item into the cart, or find the one that was put there."""
    self.work(run_id)


@shared_task(name="cartbridge.follow_on.check_cart", **bind(CHECK_CART))
def check_cart(self: StepTask, run_id: str) -> None:
    """Read the cart back, and keep the address of its checkout."""
    self.work(run_id)


@shared_task(name="cartbridge.follow_on.tell", **bind(TELL))
def tell(self: StepTask, run_id: str) -> None:
    """Tell the operator's own system of the cart, by an event."""
    self.work(run_id)


@shared_task(name="cartbridge.follow_on.send_follow_on_mail", **bind(SEND_FOLLOW_ON_MAIL))
def send_follow_on_mail(self: StepTask, run_id: str) -> None:
    """Tell the learner of the cart, by mail."""
    self.work(run_id)


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
    """Who is told of a cart: what the settings say, as far as there is a way to."""
    settings = runtime.settings
    able = {"none": True, "event": events_of(settings) is not None, "mail": settings.mail.is_configured}
    wanted = settings.follow_on.notify
    if wanted is not None:
        return wanted if able[wanted] and wanted in NOTIFIERS else "none"
    return next(name for name in ("mail", "event", "none") if able[name] and name in NOTIFIERS)
