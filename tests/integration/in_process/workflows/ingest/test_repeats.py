"""`workflows.ingest.repeats`: a trusted body that says what an earlier one said gives back nothing taken since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.sources.captured import body_of, captured
from tests.unit.workflows.fakes.storefront import (
    START,
    Clock,
    a_hint_reader,
    arrive,
    delivery,
    put_run,
    record,
    rows,
    states,
)
from worker.clients.studiocart import models as records
from worker.errors import NotFoundError, ServerError
from worker.ledger.learners import retention
from worker.ledger.session import Ledger
from worker.ledger.states import RunState, Via
from worker.ledger.tables.runs import orders
from worker.ledger.tables.subscriptions import subscriptions
from worker.sources.studiocart import StudiocartSource, to_order
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.planning.offers_file import OffersFile

SEAT = "11/4/buyer/501"
RULES = '[[offer]]\nsource = "studiocart"\nproduct_id = "4"\ngrants = [{ price_id = 501 }]\n'
BUMP = "11/5/buyer/505"
PAID: dict[str, Any] = body_of("C-default-body-purchased") | {"date_time": f"{START:%Y-%m-%d} 23:00:00"}

WITH_BUMP = [
    *PAID["items"],
    {"product_id": "5", "price_id": "bump", "item_type": "bump", "product_name": "Tips", "quantity": "1"},
]


class Site:
    """A site of one captured record, or none."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None
        self.asked = 0

    def retrieve_order(self, _order_id: int) -> records.Order:
        self.asked += 1
        if self.record is None:
            raise ServerError("down", system="studiocart", operation="retrieve/orders", status=503)
        return records.Order.model_validate(self.record)

    def retrieve_product(self, _product_id: int) -> records.Product:
        raise NotFoundError("sold no more", status=404)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def offers_reader(tmp_path: Path) -> OffersFile:
    path = tmp_path / "offers.toml"
    path.write_text(RULES)
    return OffersFile(path)


@pytest.fixture
def bump_rule(offers_reader: OffersFile) -> None:
    """A rule for the bump, too."""
    offers_reader.path.write_text(RULES + RULES.replace('"4"', '"5"').replace("501", "505"))


@pytest.fixture
def trusting(ledger: Ledger, site: Site, offers_reader: OffersFile, clock: Clock) -> DeliveryReader:
    source: Any = StudiocartSource(site, clock=clock)  # type: ignore[arg-type]
    return a_hint_reader(ledger, source, offers_reader, clock, policy=SourcePolicy(start_at=START, trust_webhook=True))


class Hooks:
    """Sends bodies, one at a time or at once."""

    def __init__(self, ledger: Ledger, reader: DeliveryReader, clock: Clock) -> None:
        self.ledger, self.reader, self.clock = ledger, reader, clock

    def send(self, *bodies: dict[str, Any], order_id: str = "11") -> str:
        sent = ""
        for body in bodies:
            sent = arrive(self.ledger, self.clock, body=body, order_id=order_id)
            self.clock.advance(seconds=5)
        self.reader.look("studiocart", order_id)
        return sent

    def says(self, status: str, **more: Any) -> str:
        return self.send(PAID | {"status": status, "order_status": status} | more)

    @property
    def payment(self) -> str:
        (row,) = rows(self.ledger, orders)
        return str(row.payment)


@pytest.fixture
def hooks(ledger: Ledger, trusting: DeliveryReader, clock: Clock) -> Hooks:
    return Hooks(ledger, trusting, clock)


@pytest.mark.parametrize("succeeded", [True, False])
def test_old_paid_body_changes_nothing_after_a_refund(ledger: Ledger, hooks: Hooks, succeeded: bool) -> None:
    hooks.says("paid")
    if succeeded:
        put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    hooks.says("refunded")
    before = states(ledger)
    for status in ("paid", "pending-payment", "paid"):
        hint = hooks.says(status)
        assert (states(ledger), hooks.payment) == (before, "refunded")
        assert (delivery(ledger, hint).state, delivery(ledger, hint).duplicate) == ("planned", True)


def test_old_paid_body_changes_nothing_when_it_came_together_with_the_refund(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    refunded = PAID | {"status": "refunded", "order_status": "refunded"}
    hooks.send(refunded, PAID)
    assert states(ledger) == {SEAT: ("cancelled", "refunded_by_source")}


@pytest.mark.parametrize("withdrawn", ["canceled", "failed"])
def test_old_paid_body_is_a_review_after_any_other_withdrawal(ledger: Ledger, hooks: Hooks, withdrawn: str) -> None:
    hooks.says("paid")
    hooks.says(withdrawn)
    hooks.says("paid", order_amount=57.98)  # an amount is no news
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}
    hooks.says("paid")
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}


def test_old_paid_body_is_a_review_when_it_shows_names_and_the_one_before_showed_ids(
    ledger: Ledger, hooks: Hooks
) -> None:
    hooks.says("paid")
    hooks.says("canceled")
    items = [{key: value for key, value in item.items() if key != "product_id"} for item in PAID["items"]]
    hooks.says("paid", product_id=None, items=items)
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}


def test_old_paid_body_leaves_the_question_open_when_access_was_given(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    hooks.says("canceled")
    hooks.says("paid")
    assert states(ledger)[f"{SEAT}/revoke"] == ("review", "repeated_webhook")
    hooks.reader.replan("studiocart", "11")
    assert states(ledger)[f"{SEAT}/revoke"] == ("review", "repeated_webhook")


@pytest.mark.usefixtures("bump_rule")
def test_seat_that_was_removed_is_a_review_when_an_old_body_gives_it_back(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid", items=WITH_BUMP)
    hooks.says("paid")
    assert states(ledger)[BUMP] == ("cancelled", "removed_from_order")
    for _ in range(2):
        hooks.says("paid", items=WITH_BUMP)
        assert states(ledger) == {SEAT: ("pending", None), BUMP: ("review", "repeated_webhook")}


def test_address_that_was_corrected_is_a_question_when_an_old_body_brings_the_wrong_one_back(
    ledger: Ledger, hooks: Hooks
) -> None:
    hooks.says("paid")
    hooks.says("paid", customer_email="right@lab.test")
    assert states(ledger) == {SEAT: ("pending", None)}
    hooks.says("paid")
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}


def drop_records(hooks: Hooks) -> None:
    """Half a year passes, and what was sent is not kept any more."""
    now = hooks.clock.advance(days=180)
    days = retention.RetentionDays(order_versions=90, deliveries=0, texts=0, completions=0)
    assert retention.expire(hooks.ledger, days, now=now)["order_versions"] == 2


def test_old_paid_body_is_a_review_when_what_was_withdrawn_is_not_kept_any_more(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    hooks.says("canceled")
    drop_records(hooks)
    hooks.says("paid", order_amount=57.98)
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}


@pytest.mark.usefixtures("bump_rule")
def test_seat_that_was_removed_is_a_review_when_its_record_is_not_kept_any_more(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid", items=WITH_BUMP)
    hooks.says("paid")
    put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    drop_records(hooks)
    hooks.says("paid", order_amount=57.98)  # says what is recorded
    assert states(ledger)[BUMP] == ("cancelled", "removed_from_order")
    hooks.says("paid", order_amount=57.98, items=WITH_BUMP)
    assert states(ledger)[BUMP] == ("review", "repeated_webhook")


@pytest.mark.usefixtures("bump_rule")
def test_seat_that_was_added_is_a_review_when_an_old_body_leaves_it_out(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    hooks.says("paid", items=WITH_BUMP)
    hooks.says("paid")
    expected = {SEAT: ("pending", None), BUMP: ("review", "repeated_webhook")}
    assert states(ledger) == expected
    hooks.reader.replan("studiocart", "11")
    assert states(ledger) == expected
    hooks.says("canceled")
    assert states(ledger)[BUMP] == ("cancelled", "cancelled_by_source")


def test_question_about_a_corrected_address_stays_open_when_an_old_body_brings_the_first_one_back(
    ledger: Ledger, hooks: Hooks
) -> None:
    hooks.says("paid")
    put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    hooks.says("paid", customer_email="right@lab.test")
    hooks.says("paid")
    assert states(ledger)[f"{SEAT}/learner"] == ("review", "learner_changed")


def test_trigger_of_a_refund_counts_when_the_status_is_still_of_before(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    hooks.says("paid", trigger="refunded")
    assert (states(ledger), hooks.payment) == ({SEAT: ("cancelled", "refunded_by_source")}, "refunded")
    hooks.says("paid")
    assert hooks.payment == "refunded"


def test_unpaid_body_changes_nothing_when_the_order_is_paid(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    hooks.says("pending-payment")
    assert (states(ledger), hooks.payment) == ({SEAT: ("pending", None)}, "paid")


def test_card_that_is_retried_is_provisioned_when_nothing_was_paid_before(ledger: Ledger, hooks: Hooks) -> None:
    for status in ("pending-payment", "failed", "paid"):
        hooks.says(status)
    assert states(ledger) == {SEAT: ("pending", None)}


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize("said", ["failed", "canceled"])
def test_order_that_was_paid_since_is_a_question_when_an_old_body_takes_it_back(
    ledger: Ledger, hooks: Hooks, said: str, *, is_given: bool
) -> None:
    hooks.says(said)
    hooks.says("paid")
    if is_given:
        put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    for _ in range(2):
        hooks.says(said)
        asked = (f"{SEAT}/revoke", "cancelled_after_provisioning") if is_given else (SEAT, "repeated_webhook")
        assert states(ledger)[asked[0]] == ("review", asked[1])


def test_paid_body_is_a_review_when_only_its_refund_came_before(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("refunded")
    hooks.says("paid")
    assert states(ledger) == {SEAT: ("review", "repeated_webhook")}


def test_present_counts_when_it_was_fetched(
    ledger: Ledger, hooks: Hooks, clock: Clock, offers_reader: OffersFile
) -> None:
    hooks.says("paid")
    hooks.says("canceled")
    fetched = to_order(records.Order.model_validate(captured("rest-order-paid") | {"id": 11, "date_time": None}))
    record(ledger, fetched, rules=offers_reader.current(), now=clock.now)
    assert states(ledger) == {SEAT: ("pending", None)}


@pytest.mark.parametrize("is_given", [True, False])
def test_question_is_settled_when_the_source_itself_says_that_it_is_paid(
    ledger: Ledger, hooks: Hooks, clock: Clock, offers_reader: OffersFile, is_given: bool
) -> None:
    hooks.says("paid")
    if is_given:
        put_run(ledger, SEAT, RunState.SUCCEEDED, reason=None)
    hooks.says("canceled")
    hooks.says("paid")
    asked = f"{SEAT}/revoke" if is_given else SEAT
    assert states(ledger)[asked] == ("review", "repeated_webhook")
    fetched = to_order(records.Order.model_validate(captured("rest-order-paid") | {"id": 11, "date_time": None}))
    clock.advance(minutes=1)
    record(ledger, fetched, rules=offers_reader.current(), now=clock.now, is_present=True)
    assert states(ledger)[asked] == (("cancelled", "settled_by_source") if is_given else ("pending", None))


@pytest.mark.usefixtures("bump_rule")
@pytest.mark.parametrize("stays", [True, False])
def test_seat_in_doubt_follows_what_the_source_itself_says(
    ledger: Ledger, hooks: Hooks, site: Site, stays: bool
) -> None:
    hooks.says("paid")
    hooks.says("paid", items=WITH_BUMP)
    hooks.says("paid")
    assert states(ledger)[BUMP] == ("review", "repeated_webhook")
    site.record = PAID | {"items": WITH_BUMP if stays else PAID["items"]}
    hooks.clock.advance(minutes=1)
    arrive(ledger, hooks.clock, Via.MANUAL, order_id="11", actor="operator:ann")
    hooks.reader.look("studiocart", "11")
    assert states(ledger)[BUMP] == (("pending", None) if stays else ("cancelled", "removed_from_order"))


# Bodies that say little


def test_order_is_asked_for_when_a_body_holds_no_more_than_its_id(ledger: Ledger, hooks: Hooks, site: Site) -> None:
    site.record = captured("rest-order-paid") | {"id": 12, "date_time": PAID["date_time"]}
    hooks.send(body_of("D-map-with-static-secret"), order_id="12")
    assert states(ledger) == {"12/4/buyer/501": ("pending", None)}


def test_paid_body_of_no_more_than_an_id_waits_when_the_site_cannot_be_asked(ledger: Ledger, hooks: Hooks) -> None:
    hint = hooks.send(body_of("D-map-with-static-secret"), order_id="12")
    assert (states(ledger), delivery(ledger, hint).state) == ({}, "waiting")


@pytest.mark.parametrize("is_up", [True, False])
def test_subscription_s_trigger_is_its_news_and_never_an_order(
    ledger: Ledger, hooks: Hooks, site: Site, is_up: bool
) -> None:
    if is_up:
        site.record = captured("F-rest-orders-16-completed-subscription")
    hint = hooks.send(body_of("hook-015"), order_id="16")
    assert (delivery(ledger, hint).state, delivery(ledger, hint).reason) == ("ignored", "subscription_news")
    assert states(ledger) == {}
    assert rows(ledger, orders) == []
    (row,) = rows(ledger, subscriptions)
    assert (row.subscription_id, row.status) == ("16", "completed")
    assert bool(row.document["invoices"]) == is_up
    site.record = None
    hooks.send(body_of("hook-028") | {"id": "16"}, order_id="16")  # a body's status alone leaves what was known
    (row,) = rows(ledger, subscriptions)
    assert (row.status, bool(row.document["invoices"])) == ("canceled", is_up)


def test_nothing_is_asked_when_a_body_of_an_order_that_is_known_names_no_product(ledger: Ledger, hooks: Hooks) -> None:
    hooks.says("paid")
    sparse = {name: PAID[name] for name in ("status", "customer_email", "order_amount", "currency")}
    hooks.send(sparse)
    assert states(ledger) == {SEAT: ("pending", None)}
    hooks.send(sparse, order_id="12")
    assert {reason for _, reason in states(ledger).values()} == {None, "unmapped_product"}


# Orders that are read while they are written


def test_half_written_order_is_read_again_a_minute_later_before_anybody_is_asked(
    ledger: Ledger, hooks: Hooks, site: Site, clock: Clock
) -> None:
    [half] = captured("N-order-read-while-being-written")
    site.record = half | {"id": 12, "date_time": PAID["date_time"]}
    hint = hooks.send(body_of("D-map-with-static-secret"), order_id="12")
    row = delivery(ledger, hint)
    assert (row.state, row.reason) == ("waiting", "order_incomplete")
    assert rows(ledger, orders) == []
    hooks.reader.look("studiocart", "12")
    assert site.asked == 1
    site.record = captured("rest-order-paid") | {"id": 12, "date_time": PAID["date_time"]}
    clock.now = row.next_attempt_at
    hooks.reader.look("studiocart", "12")
    assert states(ledger) == {"12/4/buyer/501": ("pending", None)}


def test_order_that_stays_half_written_is_asked_about(ledger: Ledger, hooks: Hooks, site: Site, clock: Clock) -> None:
    [half] = captured("N-order-read-while-being-written")
    site.record = half | {"id": 12, "date_time": PAID["date_time"]}
    hooks.send(body_of("D-map-with-static-secret"), order_id="12")
    clock.advance(minutes=1)
    hooks.reader.look("studiocart", "12")
    assert {reason for _, reason in states(ledger).values()} <= {"unmapped_product", "missing_email"}
    assert len(states(ledger)) == 1
