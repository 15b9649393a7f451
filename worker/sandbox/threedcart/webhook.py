"""3dcart's outgoing webhook: the headers and the body it would send for an order. Sends nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def threedcart_webhook(order: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Build `(headers, body)`: an array of the one whole order. There is no secret, header or signature."""
    return {"Content-Type": "application/json"}, json.dumps([order]).encode()
