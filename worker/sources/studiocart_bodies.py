r"""Studiocart's webhook bodies as the records they are made of, where a setting says to trust them.

They differ from the REST API's: names may carry WordPress's slashes (`O\'Neil`), amounts are decimals unless the hook
is a global one, and the trigger says what happened. A trigger about a subscription carries the subscription's id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP
from typing import Any, Literal

from pydantic import ValidationError

from worker.clients.reading import as_decimal, as_int, as_text, numbered_rows
from worker.clients.studiocart import models as records
from worker.errors import WebhookRejectedError
from worker.sources.studiocart_lines import is_paid_for

SECRET_FIELD = "studiocart_secret"  # noqa: S105  (the name of a field, not its value)
SUBSCRIPTION_TRIGGERS = frozenset({"active", "completed", "canceled", "paused", "past_due", "trialing"})
ORDER_TRIGGERS = frozenset({"purchased", "refunded", "renewal", "failed", "pending"})
"""Triggers that carry an order's id."""
_PAYMENTS: dict[str, Literal["first", "later"]] = {"purchased": "first", "renewal": "later"}
_LABELS = {"cancelled": "canceled", "installment_plan_completed": "completed"}
_ZERO_DECIMAL = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
"""Currencies without minor units: the vendor multiplies none of their amounts."""
_ORDER_AMOUNTS = (
    "order_amount",
    "tax_amount",
    "pre_tax_amount",
    "shipping_amount",
    "invoice_total",
    "invoice_subtotal",
)
_ITEM_AMOUNTS = ("subtotal", "total_amount", "tax_amount", "unit_price")
_SUBSCRIPTION_FIELDS = ("sub_amount", "frequency", "installments", "next_bill_date", "next_bill_date_time")
"""What no captured order has. They tell a subscription whose `invoices` and `interval` are null."""
_SLASHED = re.compile(r"\\(['\"\\])")


def read_body(body: Mapping[str, Any]) -> records.Order | records.Subscription:
    """The record a body is about, amounts in minor units. Raises `WebhookRejectedError` for one without an id."""
    record = {key: _unslashed(value) for key, value in body.items() if key != SECRET_FIELD}
    record["id"] = next((record[name] for name in ("id", "order_id", "OrderID") if record.get(name)), None)
    trigger = _trigger(record)
    if trigger in ORDER_TRIGGERS:
        is_subscription = bool(record.get("invoices"))  # an order may tell how often it is billed
    else:
        is_subscription = is_subscription_record(record) or (
            trigger in SUBSCRIPTION_TRIGGERS and not numbered_rows(record.get("items"))
        )
    try:
        if is_subscription:
            return records.Subscription.model_validate(_without_amounts(record))
        return records.Order.model_validate(_in_minor_units(record))
    except ValidationError:
        raise WebhookRejectedError("The body is not a Studiocart order.", status=422) from None


def stated_payment(body: Mapping[str, Any]) -> Literal["first", "later"] | None:
    """Which payment of its subscription a trigger says an order is, None where it says nothing of that."""
    return _PAYMENTS.get(_trigger(body))


def states_refund(body: Mapping[str, Any]) -> bool:
    """Whether a body's trigger says that the order was refunded: its status may be of the moment before."""
    return _trigger(body) == "refunded"


def _trigger(body: Mapping[str, Any]) -> str:
    """What happened, by the vendor's word: a map of fields may send its label ("Past Due") in its place."""
    word = "_".join((as_text(body.get("trigger")) or "").replace("-", " ").replace("_", " ").split()).casefold()
    return _LABELS.get(word, word)


def states_money(record: records.Order) -> bool:
    """Whether a paid order's body says what was paid: an amount, or that it begins no trial, or that it does.

    A field map may leave out the total and the items, and the order that begins a trial is `paid` as well.
    """
    if record.order_amount:
        return True
    items = record.items or ()
    if any(item.trial_days is not None or (item.sub_summary or "").strip() or is_paid_for(item) for item in items):
        return True
    named = (record.subscription_id, *(item.subscription_id for item in items))
    names_subscription = any(as_int(each) for each in named)
    return record.order_amount == 0 and "subscription_id" in record.model_fields_set and not names_subscription


def is_subscription_record(record: Mapping[str, Any]) -> bool:
    """Whether a record is a subscription's. `/orders/{id}` answers any post of that id, and an order has neither.

    Invoices that are empty, or false, as PHP writes none, say nothing beside what only an order has.
    """
    if record.get("invoices"):
        return True
    has_order_id, has_items = bool(record.get("order_id")), bool(numbered_rows(record.get("items")))
    if _states(record, "interval"):
        return not (has_order_id and has_items)
    tells_of_one = record.get("invoices") is not None or any(_states(record, name) for name in _SUBSCRIPTION_FIELDS)
    return tells_of_one and not (has_order_id or has_items)


def _states(record: Mapping[str, Any], name: str) -> bool:
    return bool((as_text(record.get(name)) or "").strip())


def _unslashed(value: Any) -> Any:
    """A value without the slashes that WordPress adds to what was typed into its checkout."""
    if isinstance(value, str):
        return _SLASHED.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: _unslashed(each) for key, each in value.items()}
    return [_unslashed(each) for each in value] if isinstance(value, list) else value


def _in_minor_units(body: dict[str, Any]) -> dict[str, Any]:
    items = numbered_rows(body.get("items"))
    if _are_minor_units(items or []):
        return body
    factor = 1 if str(body.get("currency") or "").strip().upper() in _ZERO_DECIMAL else 100
    converted = body | {name: _minor_units(body[name], factor) for name in _ORDER_AMOUNTS if name in body}
    if items is not None:
        converted["items"] = [
            item | {name: _minor_units(item[name], factor) for name in _ITEM_AMOUNTS if name in item}
            for item in items
            if isinstance(item, dict)
        ]
    return converted


def _are_minor_units(items: list[Any]) -> bool:
    """Whether amounts are as the REST API's: a global hook computes its items' as numbers, the other keeps texts."""
    amounts = [item.get(name) for item in items if isinstance(item, dict) for name in ("total_amount", "subtotal")]
    given = [amount for amount in amounts if as_decimal(amount)]
    return bool(given) and all(isinstance(amount, int) for amount in given)


def _minor_units(amount: object, factor: int) -> int | None:
    decimal = as_decimal(amount)
    # A total that no currency has is none: its digits would be counted one by one.
    if decimal is None or decimal.adjusted() > 15:
        return None
    return int((decimal * factor).to_integral_value(ROUND_HALF_UP))


def _without_amounts(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if not key.endswith("amount")}
