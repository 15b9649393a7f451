"""The step that tells a learner of the cart that was prepared for the follow-on course."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from worker.ledger.tables.follow_on import completions
from worker.mail_templates import FOLLOW_ON
from worker.mail_templates.outside_text import one_short_line
from worker.reasons import Reason
from workflows.enrolment.mailer import MAIL, Mailroom
from workflows.execution.steps import Call, Repeat, StepDefinition, StepResult, StopError

CHECKOUT_URL: Final = "checkout_url"
"""The name under which an earlier step of the run gives the cart's address."""
COMPLETION_ID: Final = "completion_id"
"""The name under which the run was planned with the completion it follows."""


def _send_follow_on_mail(call: Call) -> StepResult:
    """Mail the cart's checkout address. Never repeated by itself. Raises `StopError` where no step gave an address."""
    room: Mailroom = call.clients[MAIL]
    addresses = [output[CHECKOUT_URL] for output in call.outputs.values() if output.get(CHECKOUT_URL)]
    if not addresses:
        raise StopError("3dcart gave no address for the cart's checkout", reason=Reason.REFUSED)
    values = {"checkout_url": addresses[-1], "course_name": _course_name(call)}
    message_id = room.send(FOLLOW_ON, call.learner, values, reference=call.reference, limits=call.limits)
    return StepResult({"message_id": message_id}, message_id)


def _course_name(call: Call) -> str:
    """The name of the completed course, as LearningCart last told it; empty where it did not."""
    with call.ledger.read() as connection:
        name = connection.scalar(
            select(completions.c.course_name).where(completions.c.id == str(call.planned.get(COMPLETION_ID)))
        )
    return one_short_line(name)


SEND_FOLLOW_ON_MAIL = StepDefinition("send_follow_on_mail", MAIL, _send_follow_on_mail, repeat=Repeat.NEVER)
