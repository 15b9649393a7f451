"""Addresses at the systems beside this one: those alone that the settings and the vendors' own software give."""

from __future__ import annotations

import re

from worker.settings.settings import Settings

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.IGNORECASE)


def order_at_source(settings: Settings, source: str, order_id: str | None) -> str | None:
    """Where an order is at its source: Studiocart's are WordPress posts; of others no address is known."""
    site, rest, _ = (settings.studiocart.base_url or "").partition("/wp-json/")
    if source != "studiocart" or not rest or order_id is None or not order_id.isdigit():
        return None
    return f"{site}/wp-admin/post.php?post={order_id}&action=edit"


def learningcart_site(settings: Settings) -> str | None:
    """The site that the learners learn on; LearningCart gives no address of a customer or an order there."""
    host = settings.learningcart.site_hostname or ""
    return f"https://{host}/" if _HOST.fullmatch(host) else None
