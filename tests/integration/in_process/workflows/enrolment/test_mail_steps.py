"""The steps that mail, without a mail server: what they hand over, and what they refuse to."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.workflows.fakes.storefront import Clock
from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.mail.client import Mail, MailClient
from worker.errors import ApiError, InvalidRequestError
from worker.ledger.follow_on.completions import add_completion
from worker.ledger.session import Ledger
from worker.mail_templates import FOLLOW_ON, MailTemplates
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.enrolment.mailer import Mailer
from workflows.enrolment.steps import _may_have_made
from workflows.execution.steps import Call, Repeat, StopError
from workflows.follow_on.steps import SEND_FOLLOW_ON_MAIL

JANE = Learner(email="jane@example.com", first_name="Jane", last_name="Doe")
URL = "https://store.example/checkout.asp?cart=planted"


@dataclass
class Post:
    """Takes every mail."""

    mails: list[Mail] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def ready(self, *, limits: CallLimits = NO_LIMITS) -> None:
        self.events.append("ready")

    def send(self, mail: Mail, *, limits: CallLimits = NO_LIMITS) -> str:
        self.mails.append(mail)
        return f"<{mail.reference}@example.com>"

    def close(self) -> None:
        self.events.append("close")


def a_mailer(post: Post) -> Mailer:
    return Mailer(cast(MailClient, post), MailTemplates(), login_url="https://academy.example")


def a_call(ledger: Ledger, post: Post, **values: Any) -> Call:
    given: dict[str, Any] = {
        "clients": {"mail": a_mailer(post)},
        "ledger": ledger,
        "source": "learningcart",
        "order_id": None,
        "learner": JANE,
        "planned": {},
        "step": "send_follow_on_mail",
        "reference": "cb-abc",
        "outputs": {"check_cart": {"cart_id": "c1", "checkout_url": URL}},
        "now": Clock()(),
    }
    return Call(**(given | values))


def test_learner_is_told_of_the_cart_when_it_is_ready(ledger: Ledger) -> None:
    post, now = Post(), Clock()()
    row = {"key": "1/77/-", "state": "completed", "customer_id": "1", "course_id": "77", "email": "jane@example.com"}
    with ledger.write() as connection:
        completion_id = add_completion(connection, row | {"course_name": "First aid"}, now=now)
    result = SEND_FOLLOW_ON_MAIL.call(a_call(ledger, post, planned={"completion_id": completion_id}))
    assert result.result_id == "<cb-abc@example.com>"
    assert result.output == {"message_id": result.result_id}
    (mail,) = post.mails
    assert (mail.to.address, mail.to.name, mail.subject) == (
        "jane@example.com",
        "Jane Doe",
        "Your next course after First aid",
    )
    assert URL in mail.text
    SEND_FOLLOW_ON_MAIL.call(a_call(ledger, post))
    assert post.mails[1].subject == "Your next course"
    assert SEND_FOLLOW_ON_MAIL.repeat is Repeat.NEVER


def test_nothing_is_mailed_when_no_step_gave_an_address(ledger: Ledger) -> None:
    post = Post()
    with pytest.raises(StopError) as caught:
        SEND_FOLLOW_ON_MAIL.call(a_call(ledger, post, outputs={"check_cart": {"cart_id": "c1"}}))
    assert caught.value.reason is Reason.REFUSED
    assert post.mails == []


def test_nothing_is_mailed_when_the_address_is_none_or_the_template_cannot_be_rendered() -> None:
    post = Post()
    mailer = a_mailer(post)
    values = {"course_name": "", "checkout_url": URL}
    with pytest.raises(InvalidRequestError, match="no address"):
        mailer.send(FOLLOW_ON, Learner(email="jane"), values, reference="cb-abc", limits=NO_LIMITS)
    with pytest.raises(ApiError, match=r"there is no checkout_url.*cartbridge check") as caught:
        mailer.send(FOLLOW_ON, JANE, {"course_name": ""}, reference="cb-abc", limits=NO_LIMITS)
    assert (caught.value.retryable, caught.value.outcome_unknown) == (True, False)
    assert caught.value.__context__ is None
    assert post.mails == []
    mailer.ready()
    mailer.close()
    assert post.events == ["ready", "close"]


@pytest.mark.parametrize(
    ("outcome", "may_have_acted", "expected"),
    [
        ("retryable", True, True),
        ("retryable", None, True),
        ("retryable", False, False),
        ("unknown", True, True),
        (None, None, True),
        ("final", False, False),
        ("ok", None, False),
    ],
)
def test_customer_may_have_been_made_when_the_attempts_row_does_not_deny_it(
    outcome: str | None, may_have_acted: bool | None, expected: bool
) -> None:
    row = SimpleNamespace(outcome=outcome, may_have_acted=may_have_acted)
    assert _may_have_made(cast(Any, row)) is expected
