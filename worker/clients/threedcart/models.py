"""3dcart's records: carts and their items as its document names them, and orders, which no document here shows.

Keys are matched without regard to case. Every field but an order's id may be missing or null, and one that cannot be
read is None. Unknown fields are kept in `model_extra` under the vendor's key; what an order says of a payment card, of
the buyer's machine, and of addresses that hold a key is dropped before anything keeps it. Amounts are `Decimal`, in the
major unit of the store's currency. Dates stay text as written: naive, in the store's own time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from worker.clients.reading import FieldNames, as_bool, as_decimal, as_int, as_quantity, as_text, by_field, fold


def _items(value: object) -> object:
    """Return a list's records; a lone one by itself, which a list of one may come as; None where nothing is told."""
    if isinstance(value, (dict, BaseModel)) and value:
        return [value]
    if not isinstance(value, (list, tuple)):
        return None
    return [item for item in value if isinstance(item, (dict, BaseModel))]


def _known_id(value: object) -> int | None:
    number = as_int(value)
    return number if number is not None and number > 0 else None


def _status_id(value: object) -> int | str | None:
    """Return a status's number; a text that is none as it stands, since it says something nobody has ruled on."""
    number = as_int(value)
    return number if number is not None else (as_text(value) or "").strip() or None


def _written_amount(value: object) -> Decimal | str | None:
    """Return an amount; a text that is none as it stands: it is not nothing."""
    number = as_decimal(value)
    return number if number is not None else (as_text(value) or "").strip()[:40] or None


def _order_key(value: object) -> str | None:
    """Return the key in an order's `ContinueURL`: the cart's own, which the order's number may follow."""
    try:
        pairs = parse_qsl(urlsplit(as_text(value) or "").query)
    except ValueError:
        return None
    return next((key for name, key in pairs if fold(name) in {"orderkey", "key"} and key), None)


Text = Annotated[str | None, BeforeValidator(as_text)]
Number = Annotated[int | None, BeforeValidator(as_int)]
Amount = Annotated[Decimal | None, BeforeValidator(as_decimal)]
Flag = Annotated[bool | None, BeforeValidator(as_bool)]
Quantity = Annotated[Decimal | None, BeforeValidator(as_quantity)]
Id = Annotated[int, BeforeValidator(as_int), Field(ge=1)]
MaybeId = Annotated[int | None, BeforeValidator(_known_id)]
"""0 is no id."""


class ThreedcartRecord(BaseModel):
    """A record, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    left_out: ClassVar[tuple[str, ...]] = ()
    """How the names of fields begin that are not kept."""

    @model_validator(mode="before")
    @classmethod
    def _read_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        wanted = _without(data, cls.left_out) if cls.left_out else data
        return by_field(wanted, _names(cls))


def _without(value: Any, left_out: tuple[str, ...]) -> Any:
    """Return a value without the members, at any depth, whose names begin so."""
    if isinstance(value, Mapping):
        wanted = ((key, member) for key, member in value.items() if not fold(str(key)).startswith(left_out))
        return {key: _without(member, left_out) for key, member in wanted}
    return [_without(member, left_out) for member in value] if isinstance(value, list) else value


@cache
def _names(record: type[ThreedcartRecord]) -> FieldNames:
    return FieldNames({fold(field): field for field in record.model_fields})


class ResultRow(ThreedcartRecord):
    """One row of the array that every change is answered with, and every error."""

    key: Text = None
    value: Text = None
    status: Number = None
    """As a number, though the document writes it as text."""
    message: Text = None


class Billed(ThreedcartRecord):
    """Who pays, as carts and orders tell it alike."""

    billing_first_name: Text = None
    billing_last_name: Text = None
    billing_company: Text = None
    billing_address: Text = None
    billing_address_2: Text = None
    billing_city: Text = None
    billing_state: Text = None
    billing_zip_code: Text = None
    billing_country: Text = None
    billing_email: Text = None


class CartFields(Billed):
    """What of a cart can be written. None leaves a field out, and so as it is."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Number = None
    billing_phone_number: Text = None
    shipment_first_name: Text = None
    shipment_last_name: Text = None
    shipment_company: Text = None
    shipment_address: Text = None
    shipment_address_2: Text = None
    shipment_city: Text = None
    shipment_state: Text = None
    shipment_zip_code: Text = None
    shipment_country: Text = None
    shipment_phone: Text = None
    shipment_email: Text = None

    def document(self) -> dict[str, Any]:
        """As the API takes it, under the vendor's names."""
        fields = {name: getattr(self, name) for name in CartFields.model_fields}
        return {to_pascal(name): value for name, value in fields.items() if value is not None}


class ItemOption(ThreedcartRecord):
    """A choice among an item's options (a size, a date), by the store's own numbers."""

    model_config = ConfigDict(extra="forbid")

    option_set_id: Number = None
    option_id: Number = None
    option_value: Text = None

    def document(self) -> dict[str, Any]:
        """As the API takes it, under the vendor's names."""
        named = {"OptionSetID": self.option_set_id, "OptionID": self.option_id, "OptionValue": self.option_value}
        return {name: value for name, value in named.items() if value is not None}


class CartItem(ThreedcartRecord):
    """An item of a cart as it is read back. Named in the document, not shown there."""

    catalog_id: MaybeId = None
    cart_item_id: MaybeId = None
    item_id: Text = None
    """The SKU."""
    item_quantity: Amount = None
    item_description: Text = None
    item_unit_price: Amount = None


class Cart(CartFields):
    """A cart as it is read back. The document's sample shows none of what is only read."""

    model_config = ConfigDict(extra="allow")

    order_key: Text = None
    order_date: Text = None
    order_amount: Amount = None
    order_weight: Amount = None
    last_update: Text = None
    checkout_url: Text = Field(default=None, repr=False)
    """Opens the checkout for whoever has it: given to the learner, kept out of logs."""
    cart_item_list: Annotated[tuple[CartItem, ...] | None, BeforeValidator(_items)] = None
    """None when the store did not tell, which is not an empty cart."""


class OrderItem(ThreedcartRecord):
    """An item of an order. From public material, not from the document at hand."""

    catalog_id: MaybeId = None
    item_id: Text = None
    """The SKU."""
    item_quantity: Quantity = None
    item_unit_price: Amount = None
    item_option_price: Amount = None
    item_description: Text = None


class Transaction(ThreedcartRecord):
    """What became of one attempt to take money or to give it back. Nothing else of it is kept."""

    model_config = ConfigDict(extra="ignore")

    transaction_type: Text = None
    """`Sale`, `Authorize`, `Capture`, `Void`, `Refund`, …"""
    transaction_amount: Annotated[Decimal | str | None, BeforeValidator(_written_amount)] = None
    """A text where it is no amount."""
    transaction_captured: Flag = None
    transaction_approval: Text = None
    """The processor's code of approval, or its word: `000000`, `Approved`, `Declined`."""


class Question(ThreedcartRecord):
    """A question of the checkout, and the buyer's answer."""

    question_title: Text = None
    question_answer: Text = None


class OrderStatus(ThreedcartRecord):
    """One of the store's statuses: a fixed number under a label of the store's own."""

    order_status_id: Id
    status_definition: Text = None
    """What the vendor calls it."""
    status_text: Text = None
    """What the store calls it."""

    @property
    def label(self) -> str:
        """The store's own label, else the vendor's."""
        return (self.status_text or self.status_definition or "").strip()


class Order(Billed):
    """An order. Its fields are from public material, not from the document at hand, which only knows carts."""

    left_out = ("card", "paymenttoken", "token", "ip", "referer", "referrer", "continueurl")

    order_id: Id
    invoice_number_prefix: Text = None
    invoice_number: Number = None
    order_date: Text = None
    last_update: Text = None
    order_status_id: Annotated[int | str | None, BeforeValidator(_status_id)] = None
    """A text where it is no number."""
    order_amount: Amount = None
    billing_on_line_payment: Flag = None
    order_item_list: Annotated[tuple[OrderItem, ...] | None, BeforeValidator(_items)] = None
    """None when the store did not tell."""
    transaction_list: Annotated[tuple[Transaction, ...] | None, BeforeValidator(_items)] = None
    question_list: Annotated[tuple[Question, ...] | None, BeforeValidator(_items)] = None
    order_key: Annotated[str | None, BeforeValidator(_order_key)] = Field(default=None, exclude=True, repr=False)
    """The key in its `ContinueURL`: opens the checkout for whoever has it. Only in memory."""

    @model_validator(mode="before")
    @classmethod
    def _take_order_key(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        urls = [value for key, value in data.items() if fold(str(key)) == "continueurl"]
        others = {key: value for key, value in data.items() if fold(str(key)) != "orderkey"}
        return {**others, "OrderKey": urls[0]} if urls else others

    @property
    def id(self) -> int:
        """Its id, by the name all sources use."""
        return self.order_id


def result_rows(document: Any) -> list[ResultRow]:
    """Return the rows of an answer to a change or of an error; none where the document is neither.

    The document's arrays may come as a lone row. A row has a status or a message, and nothing but its four members, so
    that a cart or an order is never taken for one.
    """
    found = document if isinstance(document, Sequence) and not isinstance(document, str) else [document]
    return [ResultRow.model_validate(row) for row in found if isinstance(row, dict) and _is_result(row)]


def _is_result(row: Mapping[str, Any]) -> bool:
    names = {fold(str(key)) for key in row}
    return names <= {"key", "value", "status", "message"} and bool(names & {"status", "message"}) and len(names) > 1
