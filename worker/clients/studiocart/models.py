"""Studiocart's records, field by field as its document defines them, under the document's own names.

Every field but a record's own id may be missing or null, and one that cannot be read is None. Unknown fields are kept
in `model_extra`. Money is in minor units of `currency` (500 is 5.00 INR), as whole numbers. Dates stay text as written:
an order's `date_time` is naive UTC, its `date` and a subscription's `invoices[].date_time` are in the site's own zone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from worker.clients.reading import as_bool, as_decimal, as_int, as_quantity, as_text, numbered_rows


def _text(value: object) -> str | None:
    # PHP's false for "there is none" must not become a learner's surname.
    return None if value is False else as_text(value)


def _minor_units(value: object) -> int | None:
    amount = as_decimal(value)
    if amount is None:
        return None
    nearest = amount.to_integral_value()
    # PHP multiplies 57.99 by 100 to 5798.999999999999.
    return as_int(nearest) if abs(amount - nearest) < Decimal("0.001") else None


def _quantity(value: object) -> int | None:
    """Read a quantity. A part of one, which nobody can have bought, is a number that a person looks at: -1."""
    quantity = as_quantity(value)
    if quantity is None:
        return None
    return as_int(quantity) if quantity == quantity.to_integral_value() else -1


def _product_id(value: object) -> str | None:
    """Read a product's id: the same number, however it is written, is one product."""
    number = as_int(value)
    return str(number) if number is not None and number > 0 else _text(value)


def _records(value: object) -> object:
    found = numbered_rows(value)
    return None if found is None else [item for item in found if isinstance(item, (dict, BaseModel))]


Text = Annotated[str | None, BeforeValidator(_text)]
Number = Annotated[int | None, BeforeValidator(as_int)]
Quantity = Annotated[int | None, BeforeValidator(_quantity)]
MinorUnits = Annotated[int | None, BeforeValidator(_minor_units)]
Rate = Annotated[Decimal | None, BeforeValidator(as_decimal)]
Truth = Annotated[bool | None, BeforeValidator(as_bool)]
Id = Annotated[int, BeforeValidator(as_int), Field(ge=1)]
ProductId = Annotated[str | None, BeforeValidator(_product_id)]


class StudiocartRecord(BaseModel):
    """A record, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)


class IdentifiedRecord(StudiocartRecord):
    """A record that can be listed and retrieved."""

    id: Id


class Customer(IdentifiedRecord):
    """A customer of the shop, with totals over their orders."""

    first_name: Text = None
    last_name: Text = None
    email: Text = None
    date_created: Text = None
    lifetime_value: MinorUnits = None
    total_orders: Number = None
    last_order_date: Text = None


class OrderItem(StudiocartRecord):
    """One item of an order. Older versions show no ids and no type: `product_name`, with its trailing " x N", is all.

    `id` is the item's own row, not the product's. `item_type` is `main`, `bump`, or `line item` for a priced field.
    """

    id: Text = None
    product_id: ProductId = None
    price_id: Text = None
    item_type: Text = None
    product_name: Text = None
    price_name: Text = None
    quantity: Quantity = None
    subtotal: MinorUnits = None
    total_amount: MinorUnits = None
    tax_amount: MinorUnits = None
    unit_price: MinorUnits = None
    trial_days: Number = None
    subscription_id: Text = None
    sub_summary: Text = None


class Sale(IdentifiedRecord):
    """What an order and a subscription tell alike: who buys what, by which plan, for how much."""

    customer_firstname: Text = None
    customer_lastname: Text = None
    customer_name: Text = None
    customer_email: Text = None
    product_id: ProductId = None
    product_name: Text = None
    gateway: Text = None
    date: Text = None
    date_time: Text = None
    payment_plan: Text = None
    payment_plan_id: Text = None
    order_amount: MinorUnits = None
    tax_amount: MinorUnits = None
    tax_rate: Rate = None
    tax_type: Text = None
    currency: Text = None
    subscription_id: Text = None
    status: Text = None
    website_url: Text = None
    order_url: Text = None
    link: Text = None


class Order(Sale):
    """An order. `items` is None when the site did not send them.

    `subscription_id` is the subscription's own id, or 0; the first purchase has it as well as the renewals. A record
    with `invoices` or an `interval` is a subscription: `/orders/{id}` answers any post of that id.
    """

    shipping_amount: MinorUnits = None
    pre_tax_amount: MinorUnits = None
    transaction_id: Text = None
    items: Annotated[tuple[OrderItem, ...] | None, BeforeValidator(_records)] = None
    invoice_total: MinorUnits = None
    invoice_subtotal: MinorUnits = None


class Invoice(StudiocartRecord):
    """One charge of a subscription: `id` is the order's."""

    id: Number = None
    status: Text = None
    order_amount: MinorUnits = None
    date: Text = None
    date_time: Text = None
    link: Text = None


class Subscription(Sale):
    """A subscription; `invoices` is the only tie to its orders, and None when the site did not send them."""

    amount: MinorUnits = None
    interval: Text = None
    frequency: Number = None
    trial_days: Number = None
    sign_up_fee: MinorUnits = None
    next_bill_date: Text = None
    next_bill_date_time: Text = None
    invoices: Annotated[tuple[Invoice, ...] | None, BeforeValidator(_records)] = None


class Plan(StudiocartRecord):
    """One way to pay for a product. `installments` is -1 for as long as the subscription lasts."""

    id: Text = None
    name: Text = None
    price_type: Text = None
    price: MinorUnits = None
    installments: Number = None
    interval: Text = None
    frequency: Number = None
    trial_days: Number = None
    signup_fee: MinorUnits = None


class Product(IdentifiedRecord):
    """A product and its plans."""

    name: Text = None
    status: Text = None
    description: Text = None
    date_created: Text = None
    date_updated: Text = None
    url: Text = None
    image_url: Text = None
    is_on_sale: Truth = None
    plans: Annotated[tuple[Plan, ...] | None, BeforeValidator(_records)] = None
