"""What LearningCart keeps, customers, comped orders and completions, and the documented shape of each as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from worker.sandbox.config import LearningCartConfig
from worker.sandbox.learningcart.form import date_fields

PROFILE_FIELDS: Final[Mapping[str, str]] = {
    "FirstName": "First Name",
    "LastName": "Last Name",
    "Email": "Email",
    "UserName": "User Name",
    "Password": "Password",
    "Address1": "Address 1",
    "Address2": "Address 2",
    "City": "City",
    "State": "State",
    "Province": "Province",
    "Zip": "Zip",
    "CountryName": "Country Name",
    "ShippingAddress1": "Shipping Address 1",
    "ShippingAddress2": "Shipping Address 2",
    "ShippingCity": "Shipping City",
    "ShippingState": "Shipping State",
    "ShippingProvince": "Shipping Province",
    "ShippingZip": "Shipping Zip",
    "ShippingCountryName": "Shipping Country Name",
}
"""`addCustomer`'s parameters, in the document's order, and the customer record's key for each."""

_SHELL: Final[Mapping[str, Any]] = {"Customer ID": 0, "First Name": None, "Email": None, "isNew": False}

ACCESS_DAYS: Final = 365
LIST_PRICE: Final = 100.0
COURSE_ID_FOR_PRICE: Final = 1000
"""A price's product has the price's id plus this, so that neither can be taken for the other."""


@dataclass
class SiteCustomer:
    """A customer of the site. Passwords are handed out and not kept."""

    id: int
    profile: dict[str, str] = field(default_factory=dict)
    """By record key (`"First Name"`), without the password."""

    @property
    def email(self) -> str:
        """The email as it was last written."""
        return self.profile.get("Email", "")


@dataclass(frozen=True)
class SiteOrder:
    """A comped order: there is one for each `addCompOrder` that arrived."""

    id: int
    customer_id: int
    price_id: int
    comments: str
    ordered_at: datetime


@dataclass(frozen=True)
class SiteCompletion:
    """A course begun (`completed_at` None) or completed by a customer."""

    customer_id: int
    course_id: int
    started_at: datetime
    completed_at: datetime | None = None
    score: int | None = None


def customer_record(customer: SiteCustomer, *, is_new: bool = False, password: str | None = None) -> dict[str, Any]:
    """Return a customer as the document lists it; every field is there, the password only when it is new."""
    record: dict[str, Any] = {"Customer ID": customer.id}
    record |= {key: customer.profile.get(key, "") for key in PROFILE_FIELDS.values()}
    return record | {"Password": password, "isNew": is_new}


def order_record(order: SiteOrder, customer: SiteCustomer, config: LearningCartConfig) -> dict[str, Any]:
    """Return an order as the document lists it: one line, given away in full."""
    return {
        "Order ID": order.id,
        **date_fields("Order Date", order.ordered_at, config),
        "Grand Total": 0.0,
        "Product Total": LIST_PRICE,
        "Shipping": 0.0,
        "Tax": 0.0,
        "Shipping Address": customer.profile.get("Shipping Address 1", ""),
        "Order Status": "Complete",
        "Customer Comments": order.comments if config.echo_comments else None,
        "Discount": LIST_PRICE,
        "Full Grand Total": 0.0,
        "OrderDetails": [_order_detail(order, config)],
        "Customer": customer_record(customer) if config.records in ("whole", "null_row") else dict(_SHELL),
    }


def listed_records(orders: list[dict[str, Any]], config: LearningCartConfig) -> list[dict[str, Any] | None]:
    """Return the rows of a list of orders, as unreadable as the site is told to make them."""
    if config.records == "no_order_id":
        return [order | {"Order ID": 0, "Customer Comments": None} for order in orders]
    return [None, *orders] if config.records == "null_row" else [*orders]


def completion_record(completion: SiteCompletion, customer: SiteCustomer, config: LearningCartConfig) -> dict[str, Any]:
    """Return a completion as the document lists it: status 0 for begun, 1 for completed."""
    return {
        **date_fields("Start Date", completion.started_at, config),
        **date_fields("Completed Date", completion.completed_at, config),
        "Status": 0 if completion.completed_at is None else 1,
        "Score": completion.score,
        "Course": {
            "Course ID": completion.course_id,
            "Course Name": f"Course {completion.course_id}",
            "Description": "",
            "CEUs": "",
            "Course Level": "",
            "Course Location": "",
            "AdditionalCertificateText": "",
            "Course Identifier": f"C-{completion.course_id}",
        },
        "Customer": customer_record(customer),
    }


def _order_detail(order: SiteOrder, config: LearningCartConfig) -> dict[str, Any]:
    return {
        "Order Detail ID": order.id * 10 + 1,
        "Shipping": 0.0,
        "Price": 0.0,
        "options": "",
        "Quantity": 1,
        "Original Price": LIST_PRICE,
        "Product": {
            "Product Name": f"Course for price {order.price_id}",
            "Product ID": COURSE_ID_FOR_PRICE + order.price_id,
            "Price": LIST_PRICE,
            "Employee Price": 0.0,
            "Shipping": 0.0,
            "Shipping Intl": 0.0,
            "Weight": 0.0,
            "Price Name": f"Price {order.price_id}",
            **date_fields("Event Start Date", None, config),
            **date_fields("Event End Date", None, config),
            **{f"Custom Field {number}": "" for number in range(1, 7)},
            "SKU": f"LC-{order.price_id}",
            "UPC": "",
            "ISBN": "",
            "Additional Details": "",
        },
        "ProductAccessInfo": {
            **date_fields("Start Date", order.ordered_at, config),
            **date_fields("Expiration Date", order.ordered_at + timedelta(days=ACCESS_DAYS), config),
            "Status": 1,
            **date_fields("Create Date", order.ordered_at, config),
            "Edited": "",
        },
    }
