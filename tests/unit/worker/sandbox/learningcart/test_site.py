from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from worker.sandbox.clock import Clock
from worker.sandbox.config import SECRET_MARKS, LearningCartConfig
from worker.sandbox.effects import EffectLog
from worker.sandbox.learningcart.records import PROFILE_FIELDS
from worker.sandbox.learningcart.site import LearningCart
from worker.sandbox.wire import Answer, Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Site:
    """A LearningCart with a clock of its own and a token at hand."""

    def __init__(self, **settings: Any) -> None:
        self.config = LearningCartConfig(**settings)
        self.clock = Clock(lambda: NOON)
        self.log = EffectLog(self.clock.now)
        self.pauses: list[float] = []
        self.cart = LearningCart(self.config, self.clock, self.log, self.pauses.append)
        self.token = ""

    def send(self, method: str, verb: str = "GET", **parameters: Any) -> Answer:
        query = urlencode({"AuthenticationToken": self.token} | parameters)
        return self.cart.answer(Request(verb, f"/{method}", f"/svc/{method}?{query}", query))

    def request_token(self, **changes: str) -> Answer:
        login = {
            "sitehostname": self.config.site_hostname,
            "username": self.config.username,
            "password": self.config.password,
        }
        return self.send("requestToken", **(login | changes))

    def log_in(self) -> Site:
        self.token = json.loads(self.request_token().body)["d"]["Authentication Token"]
        return self

    def value(self, method: str, **parameters: Any) -> Any:
        answer = self.send(method, **parameters)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)["d"]

    def customer_id(self, email: str = "jane@example.test") -> int:
        return int(self.value("addCustomer", Email=email)["Customer ID"])


@pytest.fixture
def site() -> Site:
    return Site().log_in()


def test_a_token_is_handed_out_when_the_login_is_right() -> None:
    token = json.loads(Site().request_token().body)["d"]
    assert set(token) == {
        "Authentication Token",
        "Issue Date",
        "Expiration Date",
        "Issue Date String",
        "Expiration Date String",
    }
    assert token["Issue Date"] == "/Date(1772366400000)/"
    assert token["Expiration Date String"] == "3/1/2026 8:00:00 AM"
    assert any(token["Authentication Token"].startswith(mark) for mark in SECRET_MARKS)


@pytest.mark.parametrize("wrong", ["sitehostname", "username", "password"])
def test_a_login_is_refused_when_any_part_is_wrong(wrong: str) -> None:
    site = Site()
    assert site.request_token(**{wrong: "other"}).status == 401


def test_a_token_is_refused_when_it_has_expired_and_a_new_one_works(site: Site) -> None:
    site.clock.shift(3599)
    assert site.send("getOrdersByDate").status == 200
    site.clock.shift(1)
    assert site.send("getOrdersByDate").status == 401
    assert site.log_in().send("getOrdersByDate").status == 200


def test_a_token_is_refused_when_revoked_or_missing(site: Site) -> None:
    site.cart.revoke_tokens()
    assert site.send("getOrdersByDate").status == 401
    site.token = ""
    assert site.send("addCompOrder", CustomerID=1, PriceID=1).status == 401
    assert site.log.effects() == []


@pytest.mark.parametrize("refusal", ["401", "403", "200", "500"])
def test_a_refusal_has_the_form_that_is_set(refusal: Any) -> None:
    site = Site(refusal=refusal)
    site.token = "5a4db0c5-none"
    answer = site.send("getOrdersByDate")
    assert answer.status == int(refusal)
    if refusal == "200":
        assert json.loads(answer.body) == {"d": "Invalid or expired AuthenticationToken"}
    if refusal == "500":
        assert b"5a4db0c5-none" in answer.body
        assert answer.content_type.startswith("text/html")


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "HEAD"])
def test_only_get_is_allowed_when_calling(site: Site, verb: str) -> None:
    answer = site.send("addCompOrder", verb, CustomerID=site.customer_id(), PriceID=501)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert site.cart.orders == []


def test_an_unknown_method_is_404_when_called(site: Site) -> None:
    answer = site.send("removeCustomer")
    assert answer.status == 404
    assert site.cart.route(Request("GET", "/removeCustomer")).operation == "unknown"


def test_a_method_is_found_when_written_in_other_letters(site: Site) -> None:
    assert site.send("GETORDERSBYDATE").status == 200


def test_requests_are_refused_when_they_come_too_fast() -> None:
    site = Site(requests_per_second=1.0).log_in()
    answer = site.send("getOrdersByDate")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


def test_a_customer_is_created_once_when_the_email_differs_in_case_alone(site: Site) -> None:
    first = site.value("addCustomer", Email="Jane@Example.test", FirstName="Jane")
    again = site.value("addCustomer", Email="jane@example.TEST", LastName="Doe")
    assert first["isNew"] is True
    assert again["isNew"] is False
    assert again["Customer ID"] == first["Customer ID"]
    assert (again["First Name"], again["Last Name"]) == ("Jane", "Doe")
    assert len(site.cart.customers) == 1


def test_the_password_is_told_once_when_a_customer_is_created(site: Site) -> None:
    first = site.value("addCustomer", Email="jane@example.test")
    assert first["Password"].startswith("sandbox-password-learner-")
    assert first["User Name"] == "jane@example.test"
    again = site.value("addCustomer", Email="jane@example.test", Password="sandbox-password-new")
    assert again["Password"] is None
    everything = json.dumps([site.cart.describe(), [effect.to_json() for effect in site.log.effects()]])
    assert not any(mark in everything for mark in SECRET_MARKS)


def test_a_given_password_is_told_back_when_a_customer_is_created(site: Site) -> None:
    assert site.value("addCustomer", Email="a@example.test", Password="sandbox-password-x")["Password"].endswith("-x")


def test_every_documented_field_is_kept_when_sent(site: Site) -> None:
    sent = {name: f"value of {name}" for name in PROFILE_FIELDS if name not in ("Email", "Password")}
    record = site.value("addCustomer", Email="jane@example.test", **sent)
    assert {record[key] for name, key in PROFILE_FIELDS.items() if name in sent} == set(sent.values())


def test_empty_fields_change_nothing_when_a_customer_exists(site: Site) -> None:
    site.value("addCustomer", Email="jane@example.test", FirstName="Jane")
    site.value("addCustomer", Email="jane@example.test", FirstName="")
    assert [effect.facts["changed"] for effect in site.log.effects()] == [["Email", "FirstName"]]
    site.value("addCustomer", Email="jane@example.test", FirstName="Janet", Password="sandbox-password-n")
    assert site.log.effects()[-1].facts["changed"] == ["FirstName", "Password"]


def test_an_email_is_required_when_adding_a_customer(site: Site) -> None:
    assert site.send("addCustomer", FirstName="Jane").status == 400


def test_two_customers_come_of_one_email_when_the_calls_overlap() -> None:
    site = Site(customer_gap_seconds=0.5)
    site.log_in()
    inner: list[int] = []

    def overlap(seconds: float) -> None:
        site.pauses.append(seconds)
        if len(site.pauses) == 1:
            inner.append(site.customer_id())

    site.cart._pause = overlap
    outer = site.customer_id()
    assert inner[0] != outer
    assert site.pauses == [0.5, 0.5]
    assert len(site.cart.customers) == 2
    site.cart.add_order(outer, 501)
    assert len(site.cart.orders_of("JANE@example.test")) == 1


def test_a_customer_is_a_member_once_when_added_to_a_group_twice(site: Site) -> None:
    customer_id = site.customer_id()
    assert site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=12) is True
    assert site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=12) is True
    assert site.cart.groups == {12: {customer_id: False}}
    effects = site.log.effects("learningcart", "addCustomerToGroup")
    assert [effect.facts["group_id"] for effect in effects] == [12]


def test_a_group_call_answers_false_when_customer_or_group_is_unknown() -> None:
    site = Site(groups=frozenset({12})).log_in()
    customer_id = site.customer_id()
    assert site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=13) is False
    assert site.value("addCustomerToGroup", CustomerID=1, GroupID=12) is False
    assert site.cart.groups == {}


def test_an_admin_is_refused_unless_allowed_when_added_to_a_group(site: Site) -> None:
    customer_id = site.customer_id()
    assert site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=12, isAdmin="true") is False
    site.config.admins_allowed = True
    assert site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=12, isAdmin="true") is True
    assert site.cart.groups == {12: {customer_id: True}}


def test_every_call_makes_an_order_when_it_arrives(site: Site) -> None:
    customer_id = site.customer_id()
    ids = [
        site.value("addCompOrder", CustomerID=customer_id, PriceID=501, OrderComments="cb-1")["Order ID"]
        for _ in range(2)
    ]
    assert ids == [90001, 90002]
    effects = site.log.effects("learningcart", "addCompOrder")
    assert [dict(effect.facts) for effect in effects] == [
        {
            "order_id": order_id,
            "customer_id": customer_id,
            "email": "jane@example.test",
            "price_id": 501,
            "comments": "cb-1",
        }
        for order_id in ids
    ]


def test_an_order_has_the_documented_fields_when_made(site: Site) -> None:
    order = site.value("addCompOrder", CustomerID=site.customer_id(), PriceID=501, OrderComments="cb-1")
    assert order["Customer Comments"] == "cb-1"
    assert order["Order Date"] == "/Date(1772366400000)/"
    assert order["Order Date String"] == "3/1/2026 7:00:00 AM"
    assert order["Grand Total"] == 0
    assert order["Customer"]["Password"] is None
    assert order["OrderDetails"][0]["Product"]["Price Name"] == "Price 501"
    assert order["OrderDetails"][0]["ProductAccessInfo"]["Expiration Date String"].startswith("3/1/2027")
    assert site.value("getOrderByID", orderid=order["Order ID"]) == order


def test_comments_do_not_come_back_when_the_site_does_not_echo_them(site: Site) -> None:
    site.config.echo_comments = False
    order = site.value("addCompOrder", CustomerID=site.customer_id(), PriceID=501, OrderComments="cb-1")
    assert order["Customer Comments"] is None
    assert site.value("getOrdersByDate")[0]["Customer Comments"] is None
    assert site.cart.orders[0].comments == "cb-1"


@pytest.mark.parametrize(
    "parameters",
    [
        {"CustomerID": 1, "PriceID": 501},
        {"CustomerID": 5001, "PriceID": 999},
        {"CustomerID": "x", "PriceID": 501},
        {"CustomerID": 5001, "PriceID": 0},
        {"CustomerID": 5001},
    ],
)
def test_no_order_is_made_when_customer_or_price_is_not_valid(parameters: dict[str, Any]) -> None:
    site = Site(prices=frozenset({501})).log_in()
    assert site.customer_id() == 5001
    answer = site.send("addCompOrder", **parameters)
    assert answer.status == 400
    assert "not" in json.loads(answer.body)["Message"]
    assert site.cart.orders == []


def test_the_method_has_another_name_when_the_site_says_so() -> None:
    site = Site(comped_order_method="addEnterpriseOrder").log_in()
    customer_id = site.customer_id()
    assert site.send("addCompOrder", CustomerID=customer_id, PriceID=501).status == 404
    site.value("addEnterpriseOrder", CustomerID=customer_id, PriceID=501)
    assert len(site.log.effects("learningcart", "addEnterpriseOrder")) == 1


@pytest.mark.parametrize(("setting", "status", "body"), [("404", 404, b"not found"), ("null", 200, b'{"d":null}')])
def test_an_order_that_does_not_exist_is_answered_as_set(setting: Any, status: int, body: bytes) -> None:
    answer = Site(missing_order=setting).log_in().send("getOrderByID", orderid=1)
    assert answer.status == status
    assert body in answer.body


def test_orders_of_the_last_week_come_back_when_no_dates_are_given(site: Site) -> None:
    customer_id = site.customer_id()
    for _ in range(3):
        site.cart.add_order(customer_id, 501)
        site.clock.shift(4 * 86400)
    site.log_in()
    assert [order["Order ID"] for order in site.value("getOrdersByDate")] == [90003]
    begin = (NOON - timedelta(days=1)).isoformat()
    assert len(site.value("getOrdersByDate", BeginDate=begin)) == 3


def test_dates_are_read_in_the_sites_time_when_they_carry_no_zone(site: Site) -> None:
    site.cart.add_order(site.customer_id(), 501)
    assert len(site.value("getOrdersByDate", BeginDate="2026-03-01T07:00:00")) == 1
    assert site.value("getOrdersByDate", BeginDate="2026-03-01T07:00:01") == []
    assert site.value("getOrdersByDate", BeginDate="2/20/2026", EndDate="03/01/2026") == []
    assert len(site.value("getOrdersByDate", BeginDate="2/20/2026", EndDate="3/1/2026 7:00:00 AM")) == 1
    assert len(site.value("getOrdersByDate", BeginDate="/Date(1772366400000-0500)/")) == 1


@pytest.mark.parametrize("text", ["soon", "/Date(99999999999999999999)/", "0001-01-01T00:00:00+14:00"])
def test_a_date_is_refused_when_it_cannot_be_read(site: Site, text: str) -> None:
    assert site.send("getOrdersByDate", BeginDate=text).status == 400


def test_begun_and_completed_courses_come_back_when_in_the_window(site: Site) -> None:
    customer_id = site.customer_id()
    site.cart.add_completion(customer_id, 77, completed_at=NOON, score=90)
    site.cart.add_completion(customer_id, 78)
    site.cart.add_completion(customer_id, 79, started_at=NOON - timedelta(days=9))
    rows = site.value("getCompletions", BeginDate="2026-02-28", EndDate="2026-03-02")
    assert [(row["Course"]["Course ID"], row["Status"], row["Score"]) for row in rows] == [(77, 1, 90), (78, 0, None)]
    assert rows[1]["Completed Date"] is None
    assert rows[0]["Customer"]["Customer ID"] == customer_id


def test_both_dates_are_required_when_asking_for_completions(site: Site) -> None:
    assert site.send("getCompletions", BeginDate="2026-02-28").status == 400


def test_nothing_is_logged_as_an_effect_when_typed_in_by_hand(site: Site) -> None:
    customer = site.cart.add_customer("jane@example.test", FirstName="Jane")
    site.cart.add_order(customer.id, 501, "by hand")
    assert site.log.effects() == []
    assert site.cart.customer_of("JANE@example.test") == customer
    assert site.cart.customer_of("nobody@example.test") is None
    with pytest.raises(KeyError):
        site.cart.add_order(1, 501)


def test_everything_is_told_without_secrets_when_described(site: Site) -> None:
    customer_id = site.customer_id()
    site.value("addCustomerToGroup", CustomerID=customer_id, GroupID=12)
    site.value("addCompOrder", CustomerID=customer_id, PriceID=501, OrderComments="cb-1")
    reported = site.cart.describe()
    assert reported["orders"][0]["email"] == "jane@example.test"
    assert reported["groups"] == {"12": [customer_id]}
    assert reported["tokens"] == 1
    assert not any(mark in json.dumps(reported) for mark in SECRET_MARKS)


def test_all_is_forgotten_when_reset(site: Site) -> None:
    site.cart.add_order(site.customer_id(), 501)
    site.cart.reset()
    assert site.cart.customers == []
    assert site.cart.orders == []
    assert site.send("getOrdersByDate").status == 401
