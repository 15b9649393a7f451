"""Hostile lists against every parser: numbers, texts, nesting, bombs and encodings end as a typed error or a value."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.captures import capture
from tests.integration.hostile.values import count_of, hostile_bodies, hostile_documents
from tests.unit.worker.clients import samples
from tests.unit.worker.clients.frontcore import account
from tests.unit.worker.clients.learningcart import site as learningcart_site
from tests.unit.worker.clients.stub import StubTransport
from tests.unit.worker.clients.studiocart import test_client as test_studiocart
from tests.unit.worker.clients.threedcart import store as threedcart_store
from worker.clients.learningcart.client import CustomerFields
from worker.clients.reading import LARGEST_INT
from worker.clients.threedcart.models import CartFields
from worker.clients.transport import Answer
from worker.clients.unreadable import UnreadableRow
from worker.errors import ApiError, WebhookRejectedError
from worker.sources.frontcore import FrontcoreSource
from worker.sources.frontcore import to_order as frontcore_order
from worker.sources.order import Order
from worker.sources.studiocart import StudiocartSource
from worker.sources.studiocart import to_order as studiocart_order
from worker.sources.studiocart_subscriptions import to_subscription
from worker.sources.subscription import Subscription
from worker.sources.threedcart import ThreedcartSource
from worker.sources.threedcart import to_order as threedcart_order
from worker.web.webhooks.body import LARGEST_BODY_BYTES, BodyKind, fields_of, parse_document, rejected
from worker.web.webhooks.fields import Storable, is_lead, order_id_of

ROOT = Path(__file__).parents[3]
DECODERS = re.compile(
    r"json\.loads|json\.JSONDecoder|ElementTree|XMLParser|expat|fromstring|parse_qsl|tomllib|FormParser|MultipartParser"
    r"|model_validate_json|strptime|BytesParser|message_from|yaml\.|pickle\.|csv\.(?:DictR|r)eader"
)
_HERE = "tests/integration/hostile/test_inputs.py"
READERS = {
    "worker/clients/json_text.py": _HERE,
    "worker/clients/xml_text.py": _HERE,
    "worker/clients/threedcart/models.py": _HERE,
    "worker/web/webhooks/body.py": _HERE,
    "worker/web/webhooks/authentication.py": "tests/integration/hostile/test_bodies.py",
    "worker/web/page/auth/flash.py": "tests/unit/worker/web/page/auth/test_flash.py",
    "worker/web/page/auth/session.py": "tests/integration/web/test_login.py",
    "worker/web/page/auth/forms.py": "tests/integration/web/test_login.py",
    # What the operator or the product itself has written:
    "worker/ledger/learners/tombstones.py": "tests/integration/privacy/test_erasure_holds.py",
    "worker/ledger/learners/sealed_passwords.py": (
        "tests/integration/in_process/worker/ledger/learners/test_sealed_passwords.py"
    ),
    "worker/clients/events.py": "tests/unit/worker/clients/test_events.py",
    "worker/settings/types.py": "tests/unit/worker/settings/test_types.py",
    "workflows/planning/offers.py": "tests/unit/workflows/planning/test_offers.py",
    "workflows/operations/people_list.py": "tests/unit/workflows/operations/test_people_list.py",
}
"""Each module that decodes a text from outside, and the test that attacks it."""
YEAR = timedelta(days=366)
NOW = datetime(2026, 5, 2, tzinfo=UTC)
BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
SECONDS_A_BODY = 5.0
"""Far above what any body takes; a pattern or a loop that is not linear takes hours."""

LC_ORDER = capture("learningcart", "orders_one_shell_customer.json")[0]
LC_COMPLETION = {
    "Status": 1,
    "Score": 97,
    "Start Date": "/Date(1777626000000-0400)/",
    "Completed Date String": "5/1/2026 9:00:00 AM",
    "Course": {"Course ID": 77, "Course Name": "First aid"},
    "Customer": {"Customer ID": 7, "Email": "jane@example.test"},
}
LC_TOKEN = {
    "Authentication Token": learningcart_site.guid(1),
    "Issue Date": "2026-05-27T08:00:00",
    "Expiration Date": "2026-05-27T09:00:00",
}
SC_ORDER = capture("studiocart", "rest-order-paid.json")
SC_SUBSCRIPTION = capture("studiocart", "rest-subscriptions.json")[0]
SC_HOOK = {**SC_ORDER, "trigger": "purchased", "studiocart_secret": "x" * 20}
FC_ORDER = capture("frontcore", "orders_group_shared_email.json")[0]
TD_ORDER = capture("threedcart", "order_full.json")[0]
TD_CART = capture("threedcart", "cart_get_200_array.json")
TD_ANSWER = [{"Key": "OrderKey", "Value": "6F027F81ggx48to", "Status": "201", "Message": "Created"}]


class _Replies:
    """One client of each system, whose vendor answers what it is given."""

    def __init__(self) -> None:
        self.transport = StubTransport(Answer(200, {}, b""))
        self.vendor = learningcart_site.Vendor(Answer(200, {}, b""))
        self.learningcart = learningcart_site.client(self.vendor)
        self.studiocart = test_studiocart.client(self.transport)
        self.frontcore = account.client(self.transport)
        self.threedcart = threedcart_store.client(self.transport)
        self.sources = (
            StudiocartSource(self.studiocart, clock=lambda: NOW),
            FrontcoreSource(self.frontcore, provision_when="paid", clock=lambda: NOW),
            ThreedcartSource(self.threedcart, zone=UTC, clock=lambda: NOW),
        )

    def answer(self, body: bytes, status: int = 200) -> None:
        self.transport.replies = [Answer(status, {}, body), Answer(200, {}, b"[]")]
        self.transport.asked.clear()
        self.vendor.replies = [Answer(status, {}, body)]
        self.vendor.tokens = None
        self.vendor.calls.clear()
        self.vendor.asked.clear()


REPLIES = _Replies()
LC, SC, FC, TD = REPLIES.learningcart, REPLIES.studiocart, REPLIES.frontcore, REPLIES.threedcart


def _token(body: bytes) -> Any:
    REPLIES.vendor.tokens = [Answer(200, {}, body)]
    return LC.request_token().lifetime


def _hook(body: bytes) -> Any:
    """All that is done with a webhook's body, for each source: kept, its order's id, and a trusted body's order."""
    fields = fields_of(parse_document(BodyKind.JSON, "application/json", body))
    if fields is None:
        raise rejected(400, "no members")
    is_lead(fields)
    order_id = order_id_of(fields, "number")
    stored = Storable(["planted-secret"]).fields(fields, order_id or "1")
    json.dumps(stored, allow_nan=False)
    found = []
    for source in REPLIES.sources:
        try:
            found.append(source.from_body(stored))
        except (WebhookRejectedError, ApiError):
            continue
    return found


Call = Callable[[bytes], Any]
CALLS: dict[str, tuple[Any, Call]] = {
    "LC.get_orders_by_date": ([LC_ORDER], lambda _: LC.get_orders_by_date(BEGIN)),
    "LC.get_order_by_id": (LC_ORDER, lambda _: LC.get_order_by_id(LC_ORDER["Order ID"])),
    "LC.add_comp_order": (LC_ORDER, lambda _: LC.add_comp_order(7, 501, "cb-1")),
    "LC.add_customer": (
        learningcart_site.CUSTOMER,
        lambda _: LC.add_customer(CustomerFields(email="jane@example.test")),
    ),
    "LC.add_customer_to_group": ({"d": True}, lambda _: LC.add_customer_to_group(7, 12)),
    "LC.get_completions": ([LC_COMPLETION], lambda _: LC.get_completions(BEGIN, NOW)),
    "LC.request_token": (LC_TOKEN, _token),
    "SC.list_orders": ([SC_ORDER], lambda _: [studiocart_order(each) for each in _read(SC.list_orders())]),
    "SC.retrieve_order": (SC_ORDER, lambda _: studiocart_order(SC.retrieve_order(SC_ORDER["id"]))),
    "SC.list_subscriptions": (
        [SC_SUBSCRIPTION],
        lambda _: [to_subscription(each, installments=3) for each in _read(SC.list_subscriptions())],
    ),
    "SC.list_products": ([samples.PRODUCT], lambda _: list(SC.list_products())),
    "SC.list_customers": ([samples.CUSTOMER], lambda _: list(SC.list_customers())),
    "FC.list_orders": ([FC_ORDER], lambda _: [frontcore_order(each) for each in _read(FC.list_orders())]),
    "FC.retrieve_order": ([FC_ORDER], lambda _: frontcore_order(FC.retrieve_order(FC_ORDER["id"]))),
    "TD.list_orders": ([TD_ORDER], lambda _: [threedcart_order(each, zone=UTC) for each in _read(TD.list_orders())]),
    "TD.retrieve_order": (
        [TD_ORDER],
        lambda _: threedcart_order(TD.retrieve_order(TD_ORDER["OrderID"]), zone=UTC),
    ),
    "TD.retrieve_cart": (TD_CART, lambda _: TD.retrieve_cart("6F027F81ggx48to")),
    "TD.create_cart": (TD_ANSWER, lambda _: TD.create_cart(CartFields(billing_email="a@b.no"))),
    "TD.delete_cart": (TD_ANSWER, lambda _: TD.delete_cart("6F027F81ggx48to")),
    "TD.update_cart": (TD_ANSWER, lambda _: TD.update_cart("6F027F81ggx48to", CartFields(billing_email="a@b.no"))),
    "TD.create_cart_item": (
        [{**TD_ANSWER[0], "Key": "CartItemID", "Value": "5"}],
        lambda _: TD.create_cart_item("6F027F81ggx48to", 1234),
    ),
    "TD.update_cart_item": (TD_ANSWER, lambda _: TD.update_cart_item("6F027F81ggx48to", 5, quantity=2)),
    "TD.delete_cart_item": (TD_ANSWER, lambda _: TD.delete_cart_item("6F027F81ggx48to", 5)),
    "TD.list_order_statuses": (
        [{"OrderStatusID": 1, "StatusDefinition": "New", "StatusText": "New", "Visible": True}],
        lambda _: TD.list_order_statuses(),
    ),
    "SC.retrieve_subscription": (SC_SUBSCRIPTION, lambda _: SC.retrieve_subscription(SC_SUBSCRIPTION["id"])),
    "SC.retrieve_product": (samples.PRODUCT, lambda _: SC.retrieve_product(samples.PRODUCT["id"])),
    "SC.retrieve_customer": (samples.CUSTOMER, lambda _: SC.retrieve_customer(samples.CUSTOMER["id"])),
    "webhook": (SC_HOOK, _hook),
    "webhook of 3dcart": ([TD_ORDER], _hook),
}
NOT_SAFE_TO_REPEAT = {"LC.add_comp_order", "TD.create_cart", "TD.create_cart_item"}
OF_ONE_RECORD = {
    "SC.retrieve_order",
    "SC.retrieve_subscription",
    "SC.retrieve_product",
    "SC.retrieve_customer",
    "FC.retrieve_order",
    "TD.retrieve_order",
    "LC.get_order_by_id",
}
"""Their records are those of the lists."""
THE_SAME_READING = {
    "LC.ready": "LC.request_token",
    "SC.iter_order_pages": "SC.list_orders",
    "SC.list_subscription_orders": "SC.list_orders",
    "SC.iter_subscription_pages": "SC.list_subscriptions",
    "SC.check_paging": "SC.list_orders",
    "FC.iter_order_pages": "FC.list_orders",
    "FC.check_paging": "FC.list_orders",
    "TD.iter_order_pages": "TD.list_orders",
    "TD.check_paging": "TD.list_orders",
    "TD.ready": "TD.list_orders",
}
"""Methods that read an answer as another does, by the same function."""
READ_NOTHING = {"notes", "close"}


def _read(found: Any) -> list[Any]:
    return [each for each in found if not isinstance(each, UnreadableRow)]


def check(value: Any) -> None:
    """What is read can be kept, compared with any moment, and counted."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, (Order, Subscription)):
            json.dumps(each.model_dump(mode="json"), allow_nan=False).encode("utf-8")
        if isinstance(each, Order):
            assert each.created_at is None or each.created_at - YEAR < each.created_at + YEAR
            assert 0 < int(each.id) <= LARGEST_INT
            assert sum(len(line.seats) for line in each.lines) < 5_000
            assert each.total is None or abs(each.total.minor_units) <= LARGEST_INT


def attempt(name: str, call: Call, body: bytes) -> str:
    """Make one call. What went wrong, beside a typed error; empty for nothing."""
    REPLIES.answer(body)
    try:
        check(call(body))
    except ApiError as error:
        if name in NOT_SAFE_TO_REPEAT and error.status == 200 and not error.outcome_unknown:
            return f"{type(error).__name__} is not an unknown outcome: {error.message}"
        return "" if len(error.message) < 1_000 and error.message.isprintable() else "its message is too long"
    except WebhookRejectedError:
        return ""
    except BaseException as error:  # noqa: BLE001 -- any other is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def test_every_method_of_a_client_is_attacked_when_it_reads_an_answer() -> None:
    clients = {"LC": LC, "SC": SC, "FC": FC, "TD": TD}
    methods = {
        f"{short}.{name}"
        for short, client in clients.items()
        for name in dir(type(client))
        if not name.startswith("_") and name not in READ_NOTHING
    }
    assert methods - CALLS.keys() - THE_SAME_READING.keys() == set()
    assert set(THE_SAME_READING.values()) <= CALLS.keys()


def test_every_reader_of_outside_text_is_attacked_somewhere_when_the_product_is_looked_through() -> None:
    """A new module that decodes JSON, XML, a form, a date or a multipart body is named here with its test, or fails."""
    found = {
        str(path.relative_to(ROOT))
        for package in ("worker", "workflows", "tasks")
        for path in (ROOT / package).rglob("*.py")
        if "sandbox" not in str(path.relative_to(ROOT)) and DECODERS.search(path.read_text(encoding="utf-8"))
    }
    assert found - READERS.keys() == set()
    assert [test for test in READERS.values() if not (ROOT / test).is_file()] == []


def test_there_are_20000_cases_when_they_are_counted() -> None:
    assert sum(count_of(record) for name, (record, _) in CALLS.items() if name not in OF_ONE_RECORD) >= 20_000


@pytest.mark.parametrize("name", sorted(CALLS.keys() - OF_ONE_RECORD))
def test_a_field_is_read_or_not_when_its_value_is_hostile(name: str) -> None:
    record, call = CALLS[name]
    wrong = {}
    for document in hostile_documents(record):
        body = document.encode("utf-8", "surrogatepass")
        if problem := attempt(name, call, body):
            wrong[problem] = body[:3_000]
    assert wrong == {}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_body_is_read_or_refused_in_time_when_it_is_hostile(name: str) -> None:
    record, call = CALLS[name]
    wrong = {}
    for kind, body in hostile_bodies(json.dumps(record).encode()).items():
        sent = body[:LARGEST_BODY_BYTES] if name.startswith("webhook") else body
        began = time.thread_time()
        problem = attempt(name, call, sent)
        taken = time.thread_time() - began
        if problem or taken > SECONDS_A_BODY:
            wrong[kind] = problem or f"{taken:.1f} s"
    assert wrong == {}
