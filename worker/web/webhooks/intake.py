"""Taking a webhook in: who sent it, what order it speaks of, and one committed delivery. No HTTP.

A webhook is a hint: the worker fetches the order from its source. The body is kept only where a setting says to plan
from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from worker.errors import WebhookRejectedError
from worker.ledger.orders.order_rows import insert_delivery
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, Via
from worker.settings.settings import Settings
from worker.web.webhooks.authentication import WebhookAuthentication
from worker.web.webhooks.body import BodyKind, Fields, fields_of, parse_document, rejected
from worker.web.webhooks.fields import Storable, is_lead, no_order, order_id_of

LEAD = "lead"
"""The reason of a delivery that was ignored because it names no order yet."""
_PARSED_AT_ONCE = 2
"""A parsed document takes many times the memory of its bytes, and parsing holds up every other thread."""


class Proof(Enum):
    """What proves the sender, as far as can be told without the body."""

    URL_TOKEN = auto()
    HEADER = auto()
    SIGNATURE = auto()
    """Not yet: the body must be the one that was signed."""
    BODY = auto()
    """Not yet: the body may hold the secret."""


@dataclass(frozen=True)
class Taken:
    """A delivery that is committed."""

    delivery_id: str
    order_id: str | None
    """None for a lead, which nobody has to be woken for, and where the source is to be polled."""
    polls: bool = False
    """Whether the body named no order: a poll finds what it was about."""


class WebhookIntake:
    """Takes the webhooks of every source that is on. Safe to share between threads."""

    def __init__(self, settings: Settings, ledger: Ledger, *, clock: Callable[[], datetime]) -> None:
        self._sources = settings.sources()
        self._authentications = {name: WebhookAuthentication(section) for name, section in self._sources.items()}
        self._storable = Storable(settings.secret_values())
        self._parsing = threading.BoundedSemaphore(_PARSED_AT_ONCE)
        self._ledger = ledger
        self._clock = clock

    def knows(self, source: str) -> bool:
        """Whether webhooks of this source are taken: it is known and configured."""
        return source in self._sources

    def missing_variable(self, source: str, *, by_url: bool = False) -> str | None:
        """The variable to set where a source has no secret at all, so that every webhook of it is refused."""
        authentication = self._authentications[source]
        if by_url:
            return None if authentication.has_url_token else authentication.url_variable
        return None if authentication.has_secret else authentication.variable

    def proof(self, source: str, token: str | None, headers: Mapping[str, str]) -> Proof | None:
        """What proves the sender of a webhook of a source that is known; None where nothing can: it is to be refused
        before its body is read. `token` is the address's, None where it has none; `headers` has lower-case names.
        """
        authentication = self._authentications[source]
        if token is not None:
            return Proof.URL_TOKEN if authentication.accepts_url_token(token) else None
        if authentication.accepts_secret_header(headers):
            return Proof.HEADER
        if authentication.may_be_signed(headers):
            return Proof.SIGNATURE
        return Proof.BODY if authentication.body_may_authenticate else None

    def take(
        self, source: str, kind: BodyKind, headers: Mapping[str, str], body: bytes, *, proof: Proof = Proof.SIGNATURE
    ) -> Taken:
        """Authenticate, read and commit one webhook of a source that is known; blocks for the ledger.

        Raises `WebhookRejectedError` (400 malformed, 401 not authenticated, 422 no order's id) and `SQLAlchemyError`,
        both with nothing committed. Safe to repeat: the same news once more is a duplicate delivery, not a second run.

        What nothing proves but its body is parsed only if its bytes hold the secret, so that a stranger's document is
        never built.
        """
        section = self._sources[source]
        with self._parsing:
            document = self._authenticated_document(source, kind, headers, body, proof)
            fields = fields_of(document)
            # A poll finds the order of a sender whose body cannot be chosen: a line of text, nothing at all.
            polls = proof is Proof.URL_TOKEN and section.is_configured and not _holds_several(document)
            if fields is None and not polls:
                raise rejected(400, "The body is JSON, but neither an object nor an array of one.")
            order_id = order_id_of(fields or {}, section.webhook_id_field)
            stored = None
            if order_id is not None and section.trust_webhook:
                stored = self._storable.fields(fields or {}, order_id)
        if order_id is not None:
            return self._commit(source, order_id, body=stored)
        if fields is not None and is_lead(fields):
            return self._commit(source, None, state=DeliveryState.IGNORED, reason=LEAD)
        if not polls:
            raise no_order(section.webhook_id_field)
        return self._commit(source, None, polls=True)

    def _authenticated_document(
        self, source: str, kind: BodyKind, headers: Mapping[str, str], body: bytes, proof: Proof
    ) -> object:
        authentication = self._authentications[source]
        content_type = headers.get("content-type", "")
        if proof in {Proof.URL_TOKEN, Proof.HEADER} or authentication.accepts_headers(headers, body):
            if proof is Proof.URL_TOKEN and not body.strip():
                return None
            return parse_document(kind, content_type, body)
        if authentication.may_be_proven_by(kind, body):
            document = parse_document(kind, content_type, body)
            fields = fields_of(document)
            if fields is not None and authentication.accepts_fields(fields):
                return document
        raise unauthenticated()

    def _commit(
        self,
        source: str,
        order_id: str | None,
        *,
        state: DeliveryState = DeliveryState.RECEIVED,
        reason: str | None = None,
        body: Fields | None = None,
        polls: bool = False,
    ) -> Taken:
        with self._ledger.write(alone=True) as connection:
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
                sent=order_id is not None or polls,
            )
        return Taken(delivery_id, order_id, polls)


def unauthenticated() -> WebhookRejectedError:
    """The refusal of whoever proves nothing."""
    return rejected(401, "The webhook does not prove that it comes from this source.")


def _holds_several(document: object) -> bool:
    """Whether it is an array of several objects: of which order it speaks cannot be told."""
    return isinstance(document, list) and len(document) > 1 and any(isinstance(each, dict) for each in document)
