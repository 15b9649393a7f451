"""The tasks of the `enrolment` and `welcome_mail` workflows, one a step, and the one that erases unmailed passwords."""

from __future__ import annotations

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import runtime_of
from tasks.steps import StepTask, bind
from workflows.enrolment.steps import ADD_COMPED_ORDER, ADD_CUSTOMER, ADD_CUSTOMER_TO_GROUP
from workflows.enrolment.welcome_mail import SEND_WELCOME_MAIL, erase_unmailed


@shared_task(name="cartbridge.enrolment.add_customer", **bind(ADD_CUSTOMER))
def add_customer(self: StepTask, run_id: str) -> None:
    """Make sure that LearningCart knows the learner."""
    self.work(run_id)


@shared_task(name="cartbridge.enrolment.add_customer_to_group", **bind(ADD_CUSTOMER_TO_GROUP))
def add_customer_to_group(self: StepTask, run_id: str) -> None:
    """Put the learner into one group of the grant."""
    self.work(run_id)


@shared_task(name="cartbridge.enrolment.add_comped_order", **bind(ADD_COMPED_ORDER))
def add_comped_order(self: StepTask, run_id: str) -> None:
    """Make the comped order, or find the one that was made."""
    self.work(run_id)


@shared_task(name="cartbridge.welcome_mail.send_welcome_mail", **bind(SEND_WELCOME_MAIL))
def send_welcome_mail(self: StepTask, run_id: str) -> None:
    """Mail a new customer's password."""
    self.work(run_id)


@shared_task(name="cartbridge.erase_passwords", base=LedgerTask, bind=True)
def erase_passwords(self: Task) -> None:
    """Erase the passwords that were not mailed in time. Safe to double."""
    runtime = runtime_of(self.app)
    erase_unmailed(runtime.ledger, keep_days=runtime.settings.passwords.keep_days, now=runtime.clock())
