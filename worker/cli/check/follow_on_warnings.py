"""What keeps [[follow_on]] rules from leading to a cart, or from telling anybody of it: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.settings.settings import Settings


def follow_on_warnings(settings: Settings) -> Iterator[str]:
    """The sentences for an offers file that has such a rule."""
    store, notify = settings.threedcart, settings.follow_on.notify
    if not store.is_configured:
        yield f"A [[follow_on]] rule needs 3dcart, else its runs wait: set {', '.join(store.missing())}."
    elif not store.orders_enabled:
        yield (
            "Carts that nobody checks out are not deleted: their orders are looked for first, and for that set "
            f"{store.variable('orders_enabled')}=true."
        )
    if not settings.learningcart.poll_seconds:
        yield f"A [[follow_on]] rule needs completions: {settings.learningcart.variable('poll_seconds')} is 0."
    if notify == "event" and not settings.events.is_configured:
        yield "CARTBRIDGE_FOLLOW_ON__NOTIFY is event, and CARTBRIDGE_EVENTS__WEBHOOK_URL is not set: nobody is told."
    if notify == "mail" and not settings.mail.is_configured:
        yield "CARTBRIDGE_FOLLOW_ON__NOTIFY is mail, and mail is not configured: nobody is told."
