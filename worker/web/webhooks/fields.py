"""What is taken from a webhook's members: the order's id, whether it is a lead, and what of it may be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from worker.errors import WebhookRejectedError
from worker.text.redaction import SecretRegistry
from worker.web.webhooks.body import Fields, rejected

ID_FIELDS = ("id", "order_id", "OrderID")
"""Where an order's id is looked for, in this order, after the operator's own field."""
BODY_SECRET_FIELD = "studiocart_secret"  # noqa: S105 - the name of a field
_DROPPED_PREFIXES = (
    *("card", "cvv", "paymenttoken"),
    *("transactionid", "transactionavs", "transactioncvv", "transactionreference"),
    *("ip", "referer", "referrer", "continueurl"),
)
"""How the names of members begin that tell of a card or of the buyer's machine, or hold the key of a checkout, whatever
their letters' case. A transaction's approval is none of them: its word tells a sale that was declined."""
_MOST = 2**63
_MOST_EXACT_FLOAT = 2.0**53
_DIGITS = re.compile(r"0*([1-9][0-9]{0,18})", re.ASCII)
_SHORTEST_MASKED = 12
"""A shorter secret may be part of an ordinary word; alone it is left out all the same."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def order_id_of(fields: Fields, id_field: str | None) -> str | None:
    """The order's id in its plain form; None where the body names none.

    The operator's `id_field` comes first, then `ID_FIELDS`; a null or blank member counts as absent. An id is a
    positive whole number below 2**63, or its ASCII digits, with any white space around them. `WebhookRejectedError`
    (422) for anything else.
    """
    value = next((fields[name] for name in _id_fields(id_field) if not _is_blank(fields.get(name))), None)
    if value is None:
        return None
    number = _whole_number(value)
    if number is None or not 0 < number < _MOST:
        raise rejected(422, "The order's id is not a positive whole number below 2^63.")
    return str(number)


def no_order(id_field: str | None) -> WebhookRejectedError:
    """The refusal of a body that names no order."""
    names = ", ".join(dict.fromkeys(_id_fields(id_field)))
    return rejected(422, f"The body names no order: none of {names} is in it.")


def is_lead(fields: Fields) -> bool:
    """Whether any member says `lead`: somebody left an address, and there is no order (yet)."""
    return any(isinstance(value, str) and value.lower() == "lead" for value in fields.values())


def _id_fields(id_field: str | None) -> tuple[str, ...]:
    return ID_FIELDS if id_field is None else (id_field, *ID_FIELDS)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _whole_number(value: object) -> int | None:
    if isinstance(value, str):
        digits = _DIGITS.fullmatch(value.strip())
        return int(digits[1]) if digits else None
    if isinstance(value, float):
        # Beyond that a float has lost digits, and would name another order.
        return int(value) if value.is_integer() and abs(value) <= _MOST_EXACT_FLOAT else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_dropped(name: str) -> bool:
    return name == BODY_SECRET_FIELD or name.casefold().replace("_", "").startswith(_DROPPED_PREFIXES)


class Storable:
    """Makes a body fit to be kept: without secrets, and of characters every ledger takes.

    A member that is a secret, or is named as one, is left out, and so is what a shop tells of the card that paid, of
    the buyer's machine, and of addresses that open a checkout; inside longer texts long secrets are masked.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secrets)
        self._registry = SecretRegistry(secret for secret in self._secrets if len(secret) >= _SHORTEST_MASKED)

    def fields(self, fields: Fields, order_id: str) -> Fields:
        """A copy to store, whose `id` is the order's: a body with several ids must not be read as another order."""
        stored = self._without_secrets(fields)
        return {**stored, "id": order_id}

    def _without_secrets(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                self._text(name): self._without_secrets(member)
                for name, member in value.items()
                if not _is_dropped(name) and not self._is_secret(name) and not self._is_secret(member)
            }
        if isinstance(value, list):
            return [self._without_secrets(member) for member in value if not self._is_secret(member)]
        return self._text(value) if isinstance(value, str) else value

    def _is_secret(self, value: object) -> bool:
        return (isinstance(value, str) and value in self._secrets) or (
            isinstance(value, int | float) and str(value) in self._secrets
        )

    def _text(self, text: str) -> str:
        # PostgreSQL takes neither NUL nor half a surrogate pair.
        whole = text.replace("\0", _REPLACEMENT).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self._registry.redact(whole)
