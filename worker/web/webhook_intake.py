"""Taking a webhook in: who sent it, what order it speaks of, and one committed delivery. No HTTP.

A webhook is a hint: the worker fetches the order from its source. The body is kept only where a setting says to plan
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.errors import WebhookRejectedError
from worker.ledger.order_rows import insert_delivery
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, Via
from worker.settings import Settings
from worker.web.webhook_authentication import WebhookAuthentication, has_credentials
from worker.web.webhook_body import BodyKind, Fields, parse_body, rejected
from worker.web.webhook_fields import Storable, order_id_of

LEAD = "lead"
"""The reason of a delivery that was ignored because it names no order yet."""


@dataclass(frozen=True)
class Taken:
    """A delivery that is committed."""

    delivery_id: str
    order_id: str | None
    """None for a lead, which nobody has to be woken for."""


class WebhookIntake:
    """Takes the webhooks of every source that is on. Safe to share between threads."""

    def __init__(self, settings: Settings, ledger: Ledger, *, clock: Callable[[], datetime]) -> None:
        self._sources = settings.sources()
        self._authentications = {name: WebhookAuthentication(section) for name, section in self._sources.items()}
        self._storable = Storable(settings.secret_values())
        self._ledger = ledger
        self._clock = clock

    def knows(self, source: str) -> bool:
        """Whether webhooks of this source are taken: it is known and configured."""
        return source in self._sources

    def missing_variable(self, source: str) -> str | None:
        """The variable to set where a source has no secret at all, so that every webhook of it is refused."""
        authentication = self._authentications[source]
        return None if authentication.has_secret else authentication.variable

    def take(self, source: str, kind: BodyKind, headers: Mapping[str, str], body: bytes) -> Taken:
        """Authenticate, read and commit one webhook of a source that is known; blocks for the ledger.

        Raises `WebhookRejectedError` (400 malformed, 401 not authenticated, 422 no order's id) and `SQLAlchemyError`,
        both with nothing committed. Safe to repeat: the same news once more is a duplicate delivery, not a second run.

        `headers` has lower-case names. The headers are looked at first. Where they do not authenticate, the body is
        parsed only if it may (Studiocart's), so that a stranger costs one signature and one parse of a bounded body at
        most, and is told nothing but that.
        """
        fields = self._authenticated_fields(source, kind, headers, body)
        section = self._sources[source]
        order_id = order_id_of(fields, section.webhook_id_field)
        if order_id is None:
            return self._commit(source, None, state=DeliveryState.IGNORED, reason=LEAD)
        stored = self._storable.fields(fields, order_id) if section.trust_webhook else None
        return self._commit(source, order_id, body=stored)

    def _authenticated_fields(self, source: str, kind: BodyKind, headers: Mapping[str, str], body: bytes) -> Fields:
        authentication = self._authentications[source]
        content_type = headers.get("content-type", "")
        if authentication.accepts_headers(headers, body):
            return parse_body(kind, content_type, body)
        if authentication.body_may_authenticate:
            try:
                fields = parse_body(kind, content_type, body)
            except WebhookRejectedError:
                if not has_credentials(headers):
                    raise
            else:
                if authentication.accepts_fields(fields):
                    return fields
        raise rejected(401, "The webhook does not prove that it comes from this source.")

    def _commit(
        self,
        source: str,
        order_id: str | None,
        *,
        state: DeliveryState = DeliveryState.RECEIVED,
        reason: str | None = None,
        body: Fields | None = None,
    ) -> Taken:
        with self._ledger.write() as connection:
            delivery_id = insert_delivery(
                connection,
                source=source,
                order_id=order_id,
                via=Via.WEBHOOK,
                actor=Actor.SOURCE,
                now=self._clock(),
                state=state,
                reason=reason,
                body=body,
                sent=order_id is not None,
            )
        return Taken(delivery_id, order_id)
