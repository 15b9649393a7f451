"""Studiocart's outgoing webhook: the headers and the body it would send for an order. Sends nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import urlencode

ZERO_DECIMAL: Final = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
"""Currencies without minor units: their amounts are the same everywhere."""

_AMOUNTS: Final = (
    "order_amount",
    "tax_amount",
    "pre_tax_amount",
    "shipping_amount",
    "invoice_total",
    "invoice_subtotal",
)
_NOT_SENT: Final = ("items", "link", "website_url", "order_url")


def studiocart_webhook(
    order: Mapping[str, Any],
    *,
    form: Literal["json", "form"] = "json",
    secret: str | None = None,
    secret_header: str | None = None,
    prices_in_cents: bool = False,
    field_names: Mapping[str, str] | None = None,
    lead: bool = False,
) -> tuple[dict[str, str], bytes]:
    """Build `(headers, body)` of the webhook a shop sends when something happens to `order` (a record of the REST API).

    `secret` travels in the body field `studiocart_secret`, or in the header named `secret_header`, which an operator
    may add by hand. Amounts become decimals unless `prices_in_cents`. Empty fields are dropped and lists are not sent,
    as by the plugin. `field_names` renames fields (`{"id": "order_id"}`): the names are the operator's choice. A `lead`
    has no order id, since there is no order yet. There is no signature and no event id.
    """
    fields = {name: value for name, value in order.items() if name not in _NOT_SENT}
    if lead:
        fields.pop("id", None)
    if not prices_in_cents:
        fields |= {name: _decimal(fields[name], order.get("currency")) for name in _AMOUNTS if fields.get(name)}
    names = field_names or {}
    body = {names.get(name, name): value for name, value in fields.items() if value not in (None, "", 0)}
    headers = {"User-Agent": "WordPress/6.4; Studiocart"}
    if secret is not None:
        (headers if secret_header else body)[secret_header or "studiocart_secret"] = secret
    if form == "form":
        return headers | {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(body).encode()
    return headers | {"Content-Type": "application/json"}, json.dumps(body, ensure_ascii=False).encode()


def _decimal(amount: object, currency: object) -> str:
    if str(currency).upper() in ZERO_DECIMAL:
        return str(amount)
    return str((Decimal(str(amount)) / 100).quantize(Decimal("0.01")))
