"""The task of the `welcome_mail` workflow, and the one that erases passwords which were not mailed in time."""

from __future__ import annotations

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.process import runtime_of
from tasks.steps import StepTask, bind
from workflows.enrolment.welcome_mail import SEND_WELCOME_MAIL, erase_unmailed


@shared_task(name="cartbridge.welcome_mail.send_welcome_mail", **bind(SEND_WELCOME_MAIL))
def send_welcome_mail(self: StepTask, run_id: str) -> None:
    """Mail a new customer's password."""
    self.work(run_id)


@shared_task(name="cartbridge.erase_passwords", base=LedgerTask, bind=True)
def erase_passwords(self: Task) -> None:
    """Erase the passwords that were not mailed in time. Safe to double."""
    runtime = runtime_of(self.app)
    erase_unmailed(runtime.ledger, keep_days=runtime.settings.passwords.keep_days, now=runtime.clock())
