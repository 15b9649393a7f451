"""Where mails are written and handed over: the mail server's client, the templates, and the seal of passwords."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.mail.client import Mail, MailAddress, MailClient
from worker.errors import ApiError, InvalidRequestError
from worker.ledger.learners.sealed_passwords import PasswordSeal
from worker.mail_templates import MailTemplates, Rendered, TemplateError
from worker.mail_templates.rendering import one_short_line
from worker.sources.order import Learner

MAIL = "mail"
"""The name of the system, and so of its client, its queue, its breaker and its pause."""


@dataclass(frozen=True)
class Mailer:
    """What the steps that mail work with; stands among the clients as `mail`."""

    client: MailClient
    templates: MailTemplates
    login_url: str
    """Where a learner logs in."""
    seal: PasswordSeal | None = None
    """Opens kept passwords; None without a key."""
    mails_passwords: bool = False
    """Whether the password of a new customer is kept and mailed; then there is a seal."""

    def ready(self, limits: CallLimits = NO_LIMITS) -> None:
        """Wait for the rate limit's slot, and have a connection that is logged in."""
        self.client.ready(limits=limits)

    def send(
        self,
        template: str,
        learner: Learner,
        values: Mapping[str, Any],
        *,
        reference: str,
        limits: CallLimits,
        secrets: tuple[str, ...] = (),
    ) -> str:
        """Render a mail to a learner and hand it over; returns its Message-ID. Not safe to repeat.

        Raises the client's `ApiError`. A template that cannot be rendered is worth another try, since the operator may
        mend it meanwhile; an address that is none is final. Nothing was mailed then. `secrets`: values that are secret.
        """
        words = self._words(template, {"learner": learner_values(learner), **values})
        recipient = _address_of(learner)
        if recipient is None:
            raise InvalidRequestError(
                "mail: not sent, the learner's email is no address", system=MAIL, operation="write", sent=False
            )
        return self.client.send(
            Mail(recipient, words.subject, words.text, reference, words.html, secrets), limits=limits
        )

    def _words(self, template: str, values: Mapping[str, Any]) -> Rendered:
        try:
            return self.templates.render(template, values)
        except TemplateError as error:
            problem = str(error)
        raise not_ready(f"{problem}. See: cartbridge check")

    def close(self) -> None:
        """Close the idle connections."""
        self.client.close()


def learner_values(learner: Learner) -> dict[str, str]:
    """What a template is given of a learner. The names are what somebody typed into a shop's form: one line each."""
    first_name, last_name = one_short_line(learner.first_name), one_short_line(learner.last_name)
    name = one_short_line(f"{first_name} {last_name}")
    return {"first_name": first_name, "last_name": last_name, "name": name, "email": learner.email}


def not_ready(what: str) -> ApiError:
    """The error for a mail that cannot be written for now: nothing was sent, and it counts as an attempt."""
    return ApiError(f"mail: not sent, {what}", system=MAIL, operation="write", retryable=True)


def _address_of(learner: Learner) -> MailAddress | None:
    try:
        return MailAddress(learner.email.strip(), learner_values(learner)["name"])
    except ValueError:
        return None
