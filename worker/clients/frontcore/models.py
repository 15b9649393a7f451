"""Frontcore's records, field by field as its document defines them, under the document's own names.

Every field but an order's id may be missing or null, and one that cannot be read is None. Unknown fields are kept in
`model_extra`. Ids are text, whether they came as numbers or as text; 0 is no id. Amounts are `Decimal`, in the
currency's major unit (1500 is 1500.00 NOK). An empty object may come as `[]`. Dates stay text as written: ISO 8601 with
an offset. What `include[]` adds is named in the document and not shown: those records accept several shapes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from worker.clients.reading import as_bool, as_decimal, as_int, as_quantity, as_text, numbered_rows

_WRITTEN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Ids are numbers (vendor's sample). Another text is taken as far as a key can hold it."""
_NO_ID = frozenset({"null", "none", "undefined", "nil", "nan", "false", "true"})
"""What a program writes where there is none."""


def _text(value: object) -> str | None:
    # PHP's false for "there is none" must not become a learner's surname.
    return None if value is False else as_text(value)


def _id(value: object) -> str | None:
    number = as_int(value)
    if number is not None:
        return str(number) if number > 0 else None
    written = "" if isinstance(value, bool) else (as_text(value) or "").strip()
    return written if _WRITTEN_ID.fullmatch(written) and written.casefold() not in _NO_ID else None


def _object(value: object) -> object:
    """Return a record that may have come as a list of one; None for anything else, an empty `[]` or `{}` included."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, (dict, BaseModel)) and value else None


def _objects(value: object) -> object:
    found = numbered_rows(value)
    if found is None and isinstance(value, (dict, BaseModel)) and value:
        found = [value]
    return None if found is None else [item for item in found if isinstance(item, (dict, BaseModel))]


def _status(value: object) -> int | str | None:
    """Read a status written as its number, or as `{"id": 3, "title": …}`; as text what is no number, None for none."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("id", "status_id", "title") if value.get(name) is not None), None)
    number = as_int(value)
    return number if number is not None else (as_text(value) or "").strip()[:40] or None


def _paid(value: object) -> bool | str | None:
    """Read whether an order is paid; as text what says neither, None where nothing is told."""
    truth = as_bool(value)
    if truth is not None or not value:
        return truth
    return (as_text(value) or "unreadable").strip()[:40] or None


Text = Annotated[str | None, BeforeValidator(_text)]
Id = Annotated[str | None, BeforeValidator(_id)]
Number = Annotated[int | None, BeforeValidator(as_int)]
Amount = Annotated[Decimal | None, BeforeValidator(as_decimal)]
Quantity = Annotated[Decimal | None, BeforeValidator(as_quantity)]
Truth = Annotated[bool | None, BeforeValidator(as_bool)]
Status = Annotated[int | str | None, BeforeValidator(_status)]


class FrontcoreRecord(BaseModel):
    """A record, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)


class Address(FrontcoreRecord):
    """A postal address; those of users carry a phone."""

    address: Text = None
    address_2: Text = None
    address_3: Text = None
    zipcode: Text = None
    city: Text = None
    phone: Text = None


MaybeAddress = Annotated[Address | None, BeforeValidator(_object)]


class Country(FrontcoreRecord):
    """A country; `code` is ISO 3166's two letters."""

    id: Id = None
    title: Text = None
    code: Text = None


class Customer(FrontcoreRecord):
    """Who pays, mostly a company."""

    id: Id = None
    title: Text = None
    department: Text = None
    phone: Text = None
    fax: Text = None
    email: Text = None
    webaddress: Text = None
    orgnr: Text = None
    invoice_email: Text = None
    customer_reference_id: Text = None
    customer_reference: Text = None
    note: Text = None
    idStatus: Id = None  # noqa: N815 -- the vendor's spelling
    turnover: Amount = None
    idParentCustomer: Id = None  # noqa: N815 -- the vendor's spelling
    invoice_method: Text = None
    country: Annotated[Country | None, BeforeValidator(_object)] = None
    status: Text = None
    type: Text = None
    duedate_days: Number = None
    seller: Any = None
    invoice_address: MaybeAddress = None
    post_address: MaybeAddress = None
    visit_address: MaybeAddress = None
    custom_properties: Any = None
    created_at: Text = None
    updated_at: Text = None


class User(FrontcoreRecord):
    """A person. `invoice_reference` comes with a line's users only."""

    id: Id = None
    firstname: Text = None
    lastname: Text = None
    date_of_birth: Text = None
    email: Text = None
    phone: Text = None
    company: Text = None
    position: Text = None
    invoice_address: MaybeAddress = None
    home_address: MaybeAddress = None
    work_address: MaybeAddress = None
    invoice_reference: Text = None


class Booker(FrontcoreRecord):
    """Who booked; null in the document's sample, so its fields are a user's and the likely `name`."""

    id: Id = None
    firstname: Text = None
    lastname: Text = None
    name: Text = None
    email: Text = None
    phone: Text = None


class CourseDate(FrontcoreRecord):
    """One date of a course. Status: 1 to be defined, 2 will run, 3 cancelled, 4 postponed (vendor)."""

    id: Id = None
    coursedate_id: Id = None
    status: Status = None
    status_id: Status = None


class Course(FrontcoreRecord):
    """A course, by `include[]=lines.database_relations.course`."""

    id: Id = None
    title: Text = None
    coursedate: Annotated[CourseDate | None, BeforeValidator(_object)] = None
    coursedates: Annotated[tuple[CourseDate, ...] | None, BeforeValidator(_objects)] = None


class Participant(FrontcoreRecord):
    """A place on a course date, by `include[]=lines.database_relations.participants`.

    Status: 1 confirmed, 3 waiting list (vendor).
    """

    id: Id = None
    participant_id: Id = None
    user_id: Id = None
    status: Status = None
    status_id: Status = None
    coursedate: Annotated[CourseDate | None, BeforeValidator(_object)] = None


class Relation(FrontcoreRecord):
    """What a line is about: for `type` participant, one person's place on one date of one course."""

    type: Text = None
    participant_id: Id = None
    coursedate_id: Id = None
    user_id: Id = None
    course_id: Id = None
    course: Annotated[Course | None, BeforeValidator(_object)] = None
    coursedate: Annotated[CourseDate | None, BeforeValidator(_object)] = None
    participant: Annotated[Participant | None, BeforeValidator(_object)] = None
    participants: Annotated[tuple[Participant, ...] | None, BeforeValidator(_objects)] = None


class Product(FrontcoreRecord):
    """What a line sells. The main product is the course itself; others are added to it."""

    id: Id = None
    item_number: Text = None
    title: Text = None
    title_label: Text = None
    price: Amount = None
    currency: Text = None
    is_main_product: Truth = None
    vat_percentage: Amount = None


class Currency(FrontcoreRecord):
    """A currency; `title` is its ISO 4217 code."""

    id: Id = None
    title: Text = None
    long_title: Text = None


class Line(FrontcoreRecord):
    """One line of an order. `users` is None when it was not asked for (`user_data`) or not sent."""

    id: Id = None
    currency: Annotated[Currency | None, BeforeValidator(_object)] = None
    price_at_order_per_item_vat_excluded: Amount = None
    discount_percent_at_order: Amount = None
    discount_amount_at_order: Amount = None
    discount_calculated_at_order: Amount = None
    price_at_invoice_per_item_vat_excluded: Amount = None
    discount_percent_at_invoice: Amount = None
    discount_calculated_at_invoice: Amount = None
    price_at_export_per_item_vat_excluded: Amount = None
    discount_percent_at_export: Amount = None
    discount_calculated_at_export: Amount = None
    quantity: Quantity = None
    database_relations: Annotated[tuple[Relation, ...] | None, BeforeValidator(_objects)] = None
    product: Annotated[Product | None, BeforeValidator(_object)] = None
    users: Annotated[tuple[User, ...] | None, BeforeValidator(_objects)] = None
    created_at: Text = None
    updated_at: Text = None


class Totals(FrontcoreRecord):
    """An order's sums over all its lines."""

    total_amount_before_discounts: Amount = None
    total_amount_after_discounts: Amount = None
    total_amount_of_discounts: Amount = None
    total_amount_of_vat: Amount = None
    total_amount_incl_discounts_and_vat: Amount = None


class Campaign(FrontcoreRecord):
    """The campaign an order came from, by `include[]=campaign`."""

    id: Id = None
    title: Text = None


class Order(FrontcoreRecord):
    """An order. `lines` is None when the account did not send them; `updated_at` until it is first changed."""

    id: Annotated[int, BeforeValidator(as_int), Field(ge=1)]
    title: Text = None
    title_detailed: Text = None
    is_paid: Annotated[bool | str | None, BeforeValidator(_paid)] = None
    """A text where it says neither."""
    payment_method: Any = None
    your_reference: Text = None
    booker: Annotated[Booker | None, BeforeValidator(_object)] = None
    gln_number: Text = None
    customer: Annotated[Customer | None, BeforeValidator(_object)] = None
    idCampaign: Id = None  # noqa: N815 -- the vendor's spelling
    seller_id: Id = None
    invoice_address: Text = None
    invoice_address_2: Text = None
    invoice_address_3: Text = None
    invoice_zipcode: Text = None
    invoice_city: Text = None
    invoice_email: Text = None
    first_user: Annotated[User | None, BeforeValidator(_object)] = None
    lines: Annotated[tuple[Line, ...] | None, BeforeValidator(_objects)] = None
    booker_admin_user: Any = None
    webintegration_id: Id = None
    custom_properties: Any = None
    calculated_totals: Annotated[Totals | None, BeforeValidator(_object)] = None
    campaign: Annotated[Campaign | None, BeforeValidator(_object)] = None
    exported_at: Text = None
    updated_at: Text = None
    created_at: Text = None
