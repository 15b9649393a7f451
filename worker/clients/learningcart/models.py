"""LearningCart's records, field by field as its document defines them.

Every field but a record's own id may be missing or null, and one that cannot be read is None: a garbled tax must not
hide the order. Unknown fields are kept in `model_extra` under the vendor's key. Dates (`…_at`) are aware UTC, read from
the date field or, failing that, from its `… String` companion; see `reading.as_datetime` for dates without a zone.
Amounts are `Decimal`. Tokens and passwords are `SecretStr`, left out of every dump and repr.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from worker.clients.charset import decode
from worker.clients.json_text import BOM
from worker.clients.reading import (
    FieldNames,
    as_bool,
    as_datetime,
    as_decimal,
    as_int,
    as_rows,
    as_text,
    by_field,
    fold,
    word_of,
)

_GUID = re.compile(r"\{?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)
_ZERO_GUID = "0" * 32


def _secret(value: object) -> object:
    return value if isinstance(value, SecretStr) else as_text(value) or None


def _token_value(value: object) -> object:
    text = value.get_secret_value() if isinstance(value, SecretStr) else as_text(value)
    text = (text or "").strip()
    return None if text.strip("{}").replace("-", "") in {"", _ZERO_GUID} else text


def _record(value: object) -> object:
    return value if isinstance(value, (dict, BaseModel)) and value else None


def _customer(value: object) -> object:
    """Return a customer inside another record; None when it is only a shell, whose id is missing or 0."""
    if isinstance(value, dict) and (as_int(by_field(value, _names(Customer)).get("customer_id")) or 0) < 1:
        return None
    return _record(value)


def _id_or_zero(value: object) -> int:
    return max(as_int(value) or 0, 0)


Text = Annotated[str | None, BeforeValidator(as_text)]
Number = Annotated[int | None, BeforeValidator(as_int)]
Amount = Annotated[Decimal | None, BeforeValidator(as_decimal)]
Truth = Annotated[bool | None, BeforeValidator(as_bool)]
Moment = Annotated[AwareDatetime | None, BeforeValidator(as_datetime)]
Id = Annotated[int, BeforeValidator(as_int), Field(ge=1)]


class LearningCartRecord(BaseModel):
    """A record of LearningCart. Its keys are matched without regard to spaces, underscores and case."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    dates: ClassVar[dict[str, str]] = {}
    """The vendor's names of the date fields, by ours."""
    other_names: ClassVar[dict[str, str]] = {}
    """The vendor's names of other fields that ours does not spell, by ours."""

    @model_validator(mode="before")
    @classmethod
    def _read_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        record = by_field(data, _names(cls))
        for field, vendor_name in cls.dates.items():
            moment = as_datetime(record.get(field))
            record[field] = moment or record.get(f"{vendor_name} String".lower().replace(" ", "_"))
        fields = cls.model_fields
        for key, value in record.items():
            if isinstance(value, str) and key not in fields and "password" in fold(key):
                record[key] = SecretStr(value)
        return record


@cache
def _names(record: type[LearningCartRecord]) -> FieldNames:
    names = {fold(field): field for field in record.model_fields}
    return FieldNames(names | {fold(vendor): field for field, vendor in (record.dates | record.other_names).items()})


class Token(LearningCartRecord):
    """What `requestToken` answers. A bare GUID is read as a token without dates; the zero GUID is no token."""

    dates = {"issued_at": "Issue Date", "expires_at": "Expiration Date"}
    other_names = {"value": "Authentication Token"}

    value: Annotated[SecretStr, BeforeValidator(_token_value)] = Field(exclude=True, repr=False)
    issued_at: Moment = None
    expires_at: Moment = None
    issue_date_string: Text = None
    expiration_date_string: Text = None

    @model_validator(mode="before")
    @classmethod
    def _read_bare(cls, data: Any) -> Any:
        return {"value": data} if isinstance(data, str) and _GUID.fullmatch(data.strip()) else data

    @property
    def lifetime(self) -> timedelta | None:
        """Expiration less issue, right in whatever zone both are written; None where it is not known."""
        if self.issued_at is None or self.expires_at is None or self.expires_at <= self.issued_at:
            return None
        return self.expires_at - self.issued_at


def names_no_token(document: object) -> bool:
    """Tell how `requestToken` may say no: null, empty, false, a sentence, or a record without a token."""
    if isinstance(document, dict):
        record = by_field(document, _names(Token))
        return _token_value(record.get("value")) is None and (not record or "value" in record or bool(word_of(record)))
    if isinstance(document, str):
        return _token_value(document) is None or not _GUID.fullmatch(document.strip())
    return document is None or document is False


def names_no_list(document: object, body: bytes) -> bool:
    """Tell what answers a list's method without a list. Of XML an empty element is an empty one; of JSON only a list.

    Absence must never be proven by a service that had nothing to say.
    """
    if document in ("", {}):
        return not decode(body).replace(BOM, "").lstrip().startswith("<")
    return not isinstance(document, (list, dict))


class Customer(LearningCartRecord):
    """A customer. `password` is there once: in the answer that creates a customer for whom LearningCart made one up."""

    customer_id: Id
    first_name: Text = None
    last_name: Text = None
    email: Text = None
    user_name: Text = None
    password: Annotated[SecretStr | None, BeforeValidator(_secret)] = Field(default=None, exclude=True, repr=False)
    address_1: Text = None
    address_2: Text = None
    city: Text = None
    state: Text = None
    province: Text = None
    zip: Text = None
    country_name: Text = None
    shipping_address_1: Text = None
    shipping_address_2: Text = None
    shipping_city: Text = None
    shipping_state: Text = None
    shipping_province: Text = None
    shipping_zip: Text = None
    shipping_country_name: Text = None
    is_new: Truth = None


class Product(LearningCartRecord):
    """The product of an order's line."""

    dates = {"event_starts_at": "Event Start Date", "event_ends_at": "Event End Date"}

    product_id: Number = None
    product_name: Text = None
    price: Amount = None
    employee_price: Amount = None
    shipping: Amount = None
    shipping_intl: Amount = None
    weight: Amount = None
    price_name: Text = None
    event_starts_at: Moment = None
    event_ends_at: Moment = None
    custom_field_1: Text = None
    custom_field_2: Text = None
    custom_field_3: Text = None
    custom_field_4: Text = None
    custom_field_5: Text = None
    custom_field_6: Text = None
    sku: Text = None
    upc: Text = None
    isbn: Text = None
    additional_details: Text = None
    event_start_date_string: Text = None
    event_end_date_string: Text = None


class ProductAccessInfo(LearningCartRecord):
    """The access that an order's line gives."""

    dates = {"starts_at": "Start Date", "expires_at": "Expiration Date", "created_at": "Create Date"}

    starts_at: Moment = None
    expires_at: Moment = None
    status: Number = None
    created_at: Moment = None
    edited: Text = None
    start_date_string: Text = None
    expiration_date_string: Text = None
    create_date_string: Text = None


class OrderDetail(LearningCartRecord):
    """A line of an order."""

    order_detail_id: Number = None
    shipping: Amount = None
    price: Amount = None
    options: Text = None
    quantity: Number = None
    original_price: Amount = None
    product: Annotated[Product | None, BeforeValidator(_record)] = None
    product_access_info: Annotated[ProductAccessInfo | None, BeforeValidator(_record)] = None


def _order_details(value: object) -> object:
    return [row for row in as_rows(value, "OrderDetail") if row is not None]


class Order(LearningCartRecord):
    """An order. `customer_comments` is where the `OrderComments` of `addCompOrder` come back."""

    dates = {"ordered_at": "Order Date"}

    order_id: Id
    ordered_at: Moment = None
    grand_total: Amount = None
    product_total: Amount = None
    shipping: Amount = None
    tax: Amount = None
    shipping_address: Text = None
    order_status: Text = None
    customer_comments: Text = None
    discount: Amount = None
    full_grand_total: Amount = None
    order_date_string: Text = None
    order_details: Annotated[tuple[OrderDetail, ...], BeforeValidator(_order_details)] = ()
    customer: Annotated[Customer | None, BeforeValidator(_customer)] = None


class ListedOrder(Order):
    """A row of a list of orders. One that cannot be read (null, no order id) has the id 0, and what could be read.

    `customer_email` is what a customer without an id is still known by.
    """

    order_id: Annotated[int, BeforeValidator(_id_or_zero)] = 0
    customer_email: Text = None

    @model_validator(mode="before")
    @classmethod
    def _keep_the_shells_email(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        customer = by_field(data, _names(cls)).get("customer")
        if not isinstance(customer, dict):
            return data
        return data | {"customer_email": as_text(by_field(customer, _names(Customer)).get("email")) or None}


class Course(LearningCartRecord):
    """The course of a completion."""

    course_id: Number = None
    course_name: Text = None
    description: Text = None
    ceus: Text = None
    course_level: Text = None
    course_location: Text = None
    additional_certificate_text: Text = None
    course_identifier: Text = None


class CourseCompletionInfo(LearningCartRecord):
    """One customer's progress in one course. It has no id of its own: course and customer name it."""

    dates = {"started_at": "Start Date", "completed_at": "Completed Date"}

    started_at: Moment = None
    completed_at: Moment = None
    status: Number = None
    """0 began training, 1 completed."""
    score: Number = None
    start_date_string: Text = None
    completed_date_string: Text = None
    course: Annotated[Course | None, BeforeValidator(_record)] = None
    customer: Annotated[Customer | None, BeforeValidator(_customer)] = None

    @property
    def is_completed(self) -> bool:
        """True when the course is done, not merely begun."""
        return self.status == 1


@dataclass(frozen=True, kw_only=True)
class CustomerFields:
    """What `addCustomer` takes. An empty field is not sent, and so leaves what LearningCart knows as it is.

    There is no password: LearningCart makes one up for a new customer, and one sent for an existing customer would
    reset theirs. Raises `ValueError` without an email.
    """

    email: str
    first_name: str = ""
    last_name: str = ""
    user_name: str = ""
    address_1: str = ""
    address_2: str = ""
    city: str = ""
    state: str = ""
    province: str = ""
    zip: str = ""
    country_name: str = ""
    shipping_address_1: str = ""
    shipping_address_2: str = ""
    shipping_city: str = ""
    shipping_state: str = ""
    shipping_province: str = ""
    shipping_zip: str = ""
    shipping_country_name: str = ""

    def __post_init__(self) -> None:
        if not self.email.strip():
            raise ValueError("addCustomer needs an email")

    def parameters(self) -> dict[str, str]:
        """Return the query parameters by the vendor's names (`FirstName`, `ShippingAddress1`), empty ones left out."""
        return {
            "".join(part.capitalize() for part in name.split("_")): value.strip()
            for name, value in asdict(self).items()
            if value.strip()
        }
