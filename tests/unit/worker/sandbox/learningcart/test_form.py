from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.sandbox.config import LearningCartConfig
from worker.sandbox.learningcart.form import render, us_text

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD = {"Order ID": 1, "Order Date": NOON, "Customer Comments": None, "OrderDetails": [{"options": "a & b"}]}


def rendered(value: object, **settings: Any) -> Any:
    return json.loads(render(value, method="m", kind="Order", config=LearningCartConfig(**settings)).body)


@pytest.mark.parametrize(("wrap", "expected"), [("d", {"d": True}), ("result", {"mResult": True}), ("bare", True)])
def test_a_value_is_wrapped_as_set(wrap: str, expected: object) -> None:
    assert rendered(True, wrap=wrap) == expected


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ("wcf", "/Date(1772366400000)/"),
        ("wcf_offset", "/Date(1772366400000-0500)/"),
        ("iso", "2026-03-01T07:00:00"),
    ],
)
def test_a_date_is_written_as_set(dates: str, expected: str) -> None:
    assert rendered(RECORD, wrap="bare", dates=dates)["Order Date"] == expected


def test_keys_lose_their_spaces_when_joined() -> None:
    assert set(rendered(RECORD, wrap="bare", keys="joined")) == {
        "OrderID",
        "OrderDate",
        "CustomerComments",
        "OrderDetails",
    }


@pytest.mark.parametrize(("keys", "name"), [("spaced", "Order_x0020_ID"), ("joined", "OrderID")])
def test_a_record_is_xml_when_set(keys: Any, name: str) -> None:
    config = LearningCartConfig(form="xml", keys=keys)
    answer = render([RECORD], method="m", kind="Order", config=config)
    assert answer.content_type.startswith("application/xml")
    root = ET.fromstring(answer.body)  # noqa: S314 -- our own document
    namespace = "{http://schemas.datacontract.org/2004/07/LearningCart}"
    assert root.tag == f"{namespace}ArrayOfOrder"
    order = root[0]
    assert order.tag == f"{namespace}Order"
    fields = {child.tag.removeprefix(namespace): child for child in order}
    assert fields[name].text == "1"
    date = fields["Order_x0020_Date" if keys == "spaced" else "OrderDate"]
    assert date.text == "2026-03-01T12:00:00.000Z"
    details = fields["OrderDetails"]
    assert [child.tag for child in details] == [f"{namespace}OrderDetail"]
    assert details[0][0].text == "a & b"
    nil = fields["Customer_x0020_Comments" if keys == "spaced" else "CustomerComments"]
    assert list(nil.attrib.values()) == ["true"]


def test_a_bool_is_an_element_of_its_own_when_in_xml() -> None:
    answer = render(False, method="m", kind="boolean", config=LearningCartConfig(form="xml"))
    assert ET.fromstring(answer.body).text == "false"  # noqa: S314 -- our own document


@pytest.mark.parametrize(("hour", "expected"), [(0, "12:05:09 AM"), (12, "12:05:09 PM"), (13, "1:05:09 PM")])
def test_the_american_clock_is_right_when_around_noon_and_midnight(hour: int, expected: str) -> None:
    assert us_text(datetime(2026, 3, 1, hour, 5, 9, tzinfo=UTC)) == f"3/1/2026 {expected}"
