"""The tasks of the `enrolment` workflow, one a step."""

from __future__ import annotations

from celery import shared_task

from tasks.steps import StepTask, bind
from workflows.enrolment.steps import ADD_COMPED_ORDER, ADD_CUSTOMER, ADD_CUSTOMER_TO_GROUP


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
