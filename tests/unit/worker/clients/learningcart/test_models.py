"""`worker.clients.learningcart.models`: every field of the vendor's document, and no secret shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from worker.clients.learningcart.models import (
    Course,
    CourseCompletionInfo,
    Customer,
    CustomerFields,
    LearningCartRecord,
    Order,
    OrderDetail,
    Product,
    ProductAccessInfo,
    Token,
    names_no_token,
)
from worker.clients.reading import fold

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
DOCUMENTED: dict[type[LearningCartRecord], str] = {
    Token: "Authentication Token|Issue Date|Expiration Date|Issue Date String|Expiration Date String",
    Order: "Order ID|Order Date|Grand Total|Product Total|Shipping|Tax|Shipping Address|Order Status|Customer Comments|"
    "Discount|Full Grand Total|Order Date String|OrderDetails|Customer",
    OrderDetail: "Order Detail ID|Shipping|Price|options|Quantity|Original Price|Product|ProductAccessInfo",
    Product: "Product Name|Product ID|Price|Employee Price|Shipping|Shipping Intl|Weight|Price Name|Event Start Date|"
    "Event End Date|Custom Field 1|Custom Field 2|Custom Field 3|Custom Field 4|Custom Field 5|Custom Field 6|SKU|UPC|"
    "ISBN|Additional Details|Event Start Date String|Event End Date String",
    ProductAccessInfo: "Start Date|Expiration Date|Status|Create Date|Edited|Start Date String|Expiration Date String|"
    "Create Date String",
    Course: "Course ID|Course Name|Description|CEUs|Course Level|Course Location|AdditionalCertificateText|"
    "Course Identifier",
    CourseCompletionInfo: "Start Date|Completed Date|Status|Score|Start Date String|Completed Date String|Course|"
    "Customer",
    Customer: "Customer ID|First Name|Last Name|Email|User Name|Password|Address 1|Address 2|City|State|Province|Zip|"
    "Country Name|Shipping Address 1|Shipping Address 2|Shipping City|Shipping State|Shipping Province|Shipping Zip|"
    "Shipping Country Name|isNew",
}
ORDER = {
    "Order ID": "5001",
    "Order Date": "/Date(1700000000000-0500)/",
    "Grand Total": "0.00",
    "Tax": "abc",
    "Customer Comments": "cb-1 x",
    "OrderDetails": [{"Order Detail ID": 1, "Price": "19.90", "Product": {"ProductID": 3, "Weight": 1}, "Extra": 1}],
    "Customer": {"Customer ID": 7, "Email": "jane@example.test", "Password": None},
    "Surprise": {"kept": True},
}


@pytest.mark.parametrize("record", DOCUMENTED, ids=lambda record: record.__name__)
def test_a_field_has_its_place_when_the_document_names_it(record: type[LearningCartRecord]) -> None:
    names = DOCUMENTED[record].split("|")
    data: dict[str, Any] = dict.fromkeys(names)
    data |= {"Order ID": 1} if record is Order else {"Customer ID": 1} if record is Customer else {}
    data |= {"Authentication Token": GUID} if record is Token else {}
    read = record.model_validate(data)
    assert read.model_extra == {}
    assert len(record.model_fields) == len(names)


def test_an_order_is_typed_throughout_when_it_is_read() -> None:
    order = Order.model_validate(ORDER)
    assert order.order_id == 5001
    assert order.ordered_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (order.grand_total, order.tax) == (Decimal("0.00"), None)
    assert order.order_details[0].price == Decimal("19.90")
    assert order.order_details[0].product == Product(product_id=3, weight=Decimal(1))
    assert order.order_details[0].model_extra == {"Extra": 1}
    assert order.customer is not None
    assert order.customer.customer_id == 7
    assert order.model_extra == {"Surprise": {"kept": True}}


@pytest.mark.parametrize("spelling", [str.lower, str.upper, lambda key: key.replace(" ", ""), fold])
def test_keys_are_matched_when_they_are_spelled_another_way(spelling: Any) -> None:
    order = Order.model_validate({spelling(key): value for key, value in ORDER.items() if key != "Surprise"})
    assert (order.order_id, order.customer_comments) == (5001, "cb-1 x")
    assert order.ordered_at is not None
    assert order.model_extra == {}


@pytest.mark.parametrize("date", [None, "", "27.05.2023", "0001-01-01T00:00:00"])
def test_a_date_is_read_from_its_text_when_the_date_itself_is_none(date: str | None) -> None:
    order = Order.model_validate({"Order ID": 1, "Order Date": date, "Order Date String": "5/27/2023 1:44:00 PM"})
    assert order.ordered_at == datetime(2023, 5, 27, 13, 44, tzinfo=UTC)
    assert order.order_date_string == "5/27/2023 1:44:00 PM"
    product = Product.model_validate({"Event Start Date": date, "Event Start Date String": "2023-05-27"})
    assert product.event_starts_at == datetime(2023, 5, 27, tzinfo=UTC)


@pytest.mark.parametrize("order_id", [None, 0, -1, "", "x", True, 2**63])
def test_an_order_is_refused_when_its_id_is_no_positive_number(order_id: Any) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate({"Order ID": order_id})


@pytest.mark.parametrize("record", [None, "text", [], 5])
def test_a_record_is_refused_when_it_is_none(record: Any) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate(record)


@pytest.mark.parametrize("customer", [None, {}, "", [], {"Customer ID": None}, {"Email": "x"}, {"CustomerID": "none"}])
def test_an_order_stands_when_its_customer_is_only_a_shell(customer: Any) -> None:
    assert Order.model_validate({"Order ID": 1, "Customer": customer}).customer is None


@pytest.mark.parametrize("details", [None, "", {}, [], [None], {"OrderDetail": None}])
def test_an_order_has_no_lines_when_none_are_told(details: Any) -> None:
    assert Order.model_validate({"Order ID": 1, "OrderDetails": details}).order_details == ()


def test_a_record_given_as_an_object_is_kept_when_it_is_nested() -> None:
    customer = Customer(customer_id=3)
    assert Order(order_id=1, customer=customer, order_details=(OrderDetail(product=Product()),)).customer == customer


def test_a_password_shows_nowhere_when_a_customer_is_printed_or_dumped() -> None:
    customer = Customer.model_validate({"Customer ID": 7, "Pass word": "hunter2", "Old Password": "hunter2"})
    assert customer.password is not None
    assert customer.password.get_secret_value() == "hunter2"
    shown = repr(customer), str(customer), str(customer.model_dump()), customer.model_dump_json()
    assert not any("hunter2" in text for text in shown)
    assert "password" not in customer.model_dump()
    again = customer.model_copy(update={"password": SecretStr("hunter2")})
    assert "hunter2" not in repr(again)


def test_there_is_no_password_when_the_vendor_sends_an_empty_one() -> None:
    assert Customer.model_validate({"Customer ID": 7, "Password": ""}).password is None
    assert Customer(customer_id=7, password=SecretStr("x")).password == SecretStr("x")


@pytest.mark.parametrize(
    "document", [GUID, GUID.upper(), GUID.replace("-", ""), f" {{{GUID}}} ", {"AuthenticationToken": GUID}]
)
def test_a_token_is_read_when_it_is_bare_or_in_a_record(document: Any) -> None:
    token = Token.model_validate(document)
    assert fold(token.value.get_secret_value()).strip("{}").replace("-", "") == GUID.replace("-", "")
    assert GUID[:8] not in repr(token) + str(token.model_dump()) + token.model_dump_json()
    assert token.lifetime is None
    assert not names_no_token(document)
    assert Token(value=SecretStr("x")).value.get_secret_value() == "x"


@pytest.mark.parametrize(
    ("document", "refused"),
    [
        (None, True),
        (False, True),
        ("", True),
        ({}, True),
        ("00000000-0000-0000-0000-000000000000", True),
        ("Invalid login", True),
        ({"Authentication Token": None}, True),
        ({"Authentication Token": "00000000-0000-0000-0000-000000000000", "Issue Date": "x"}, True),
        ({"Message": "Invalid login"}, True),
        ({"Something": "else"}, False),
        ([], False),
        (5, False),
    ],
)
def test_a_refusal_is_told_from_nonsense_when_there_is_no_token(document: Any, refused: bool) -> None:
    assert names_no_token(document) is refused
    with pytest.raises(ValidationError) as caught:
        Token.model_validate(document)
    assert "login" not in str(caught.value)


@pytest.mark.parametrize(
    ("issued", "expires", "lifetime"),
    [
        ("2023-05-27T08:00:00", "2023-05-27T09:00:00", timedelta(hours=1)),
        ("2023-05-27T08:00:00", "2023-05-27T08:00:00", None),
        (None, "2023-05-27T08:00:00", None),
        ("2023-05-27T08:00:00", None, None),
    ],
)
def test_a_lifetime_is_told_when_both_dates_make_sense(
    issued: str | None, expires: str | None, lifetime: timedelta | None
) -> None:
    token = Token.model_validate({"Authentication Token": GUID, "Issue Date": issued, "Expiration Date": expires})
    assert token.lifetime == lifetime


@pytest.mark.parametrize(("status", "done"), [(1, True), ("1", True), (0, False), (None, False)])
def test_a_completion_is_done_when_its_status_says_so(status: Any, done: bool) -> None:
    info = CourseCompletionInfo.model_validate({"Status": status, "Course": {"Course ID": "77"}, "Customer": {}})
    assert info.is_completed is done
    assert info.course is not None
    assert info.course.course_id == 77


def test_only_what_is_told_is_sent_when_a_customer_is_added() -> None:
    fields = CustomerFields(email=" a@b.test ", first_name="Jane", last_name=" ", address_1="1 Road", zip="0150")
    assert fields.parameters() == {"Email": "a@b.test", "FirstName": "Jane", "Address1": "1 Road", "Zip": "0150"}
    every = CustomerFields(**dict.fromkeys(CustomerFields.__dataclass_fields__, "x")).parameters()
    assert list(every) == [
        "Email",
        "FirstName",
        "LastName",
        "UserName",
        "Address1",
        "Address2",
        "City",
        "State",
        "Province",
        "Zip",
        "CountryName",
        "ShippingAddress1",
        "ShippingAddress2",
        "ShippingCity",
        "ShippingState",
        "ShippingProvince",
        "ShippingZip",
        "ShippingCountryName",
    ]


def test_a_customer_cannot_be_described_when_there_is_no_email() -> None:
    with pytest.raises(ValueError, match="email"):
        CustomerFields(email=" ")
