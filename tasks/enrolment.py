"""The tasks of the `enrolment` and `welcome_mail` workflows, one a step, and the one that erases unmailed passwords."""

from __future__ import annotations

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import runtime_of
from tasks.steps import step_task
from workflows.enrolment.steps import ADD_COMPED_ORDER, ADD_CUSTOMER, ADD_CUSTOMER_TO_GROUP
from workflows.enrolment.welcome_mail import SEND_WELCOME_MAIL, erase_unmailed

add_customer = step_task("cartbridge.enrolment.add_customer", ADD_CUSTOMER)
"""Make sure that LearningCart knows the learner."""
add_customer_to_group = step_task("cartbridge.enrolment.add_customer_to_group", ADD_CUSTOMER_TO_GROUP)
"""Put the learner into one group of the grant."""
add_comped_order = step_task("cartbridge.enrolment.add_comped_order", ADD_COMPED_ORDER)
"""Make the comped order, or find the one that was made."""
send_welcome_mail = step_task("cartbridge.welcome_mail.send_welcome_mail", SEND_WELCOME_MAIL)
"""Mail a new customer's password."""


@shared_task(name="cartbridge.erase_passwords", base=LedgerTask, bind=True)
def erase_passwords(self: Task) -> None:
    """Erase the passwords that were not mailed in time. Safe to double."""
    runtime = runtime_of(self.app)
    erase_unmailed(runtime.ledger, keep_days=runtime.settings.passwords.keep_days, now=runtime.clock())
