"""Subscriptions lived through over HTTP: a shop, an academy, and two years that pass in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from sqlalchemy import select

from tests.faults.harness.product import HandClock, Rig
from worker.ledger.tables.runs import orders
from worker.sandbox import Sandbox, SandboxConfig
from worker.sandbox.faults import Fault

FIRST_ORDER, SUBSCRIPTION, PRODUCT = 2001, 2000, 1107


class FrozenClock(HandClock):
    """The machine's clock, which the test has stopped and moves from day to day."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


class Years:
    """A subscription and the product that watches it."""

    def __init__(self, rig: Rig, calendar: Any) -> None:
        self.rig = rig
        self.shop = rig.sandbox.studiocart
        self._calendar = calendar

    def on(self, day: str) -> None:
        """Let time go by until noon of a day; a poll and the workers do what is due."""
        self._calendar.move_to(datetime.fromisoformat(f"{day} 12:00:00"))

    def look(self) -> None:
        for _ in range(2):  # the end of a run is seen by the poll after it
            self.rig.runtime.app.tasks["cartbridge.poll"].run("studiocart")
            self.rig.go_on()
            self._calendar.tick(400)

    def begin(self, day: str, *, status: str = "trialing", amount: int = 0, **subscription: Any) -> None:
        self.on(day)
        self.shop.add_order(
            {
                "id": FIRST_ORDER,
                "customer_email": "jane@example.test",
                "product_id": str(PRODUCT),
                "product_name": "Course",
                "payment_plan_id": "price_monthly",
                "order_amount": amount,
                "status": status,
            }
        )
        reported = {"status": status if status == "trialing" else "active", **subscription}
        self.shop.add_subscription({"id": SUBSCRIPTION, "invoices": [FIRST_ORDER], **reported})
        self.look()

    def charge(self, day: str, *, status: str = "paid") -> int:
        """The gateway charges the next period; what becomes of it is the subscription's state too."""
        self.on(day)
        order = self.shop.add_renewal(SUBSCRIPTION, order_amount=500, status=status)
        state = {"paid": "active", "failed": "past_due"}[status]
        self.shop.update_subscription(SUBSCRIPTION, status=state)
        self.look()
        return int(order["id"])

    def set(self, day: str, status: str) -> None:
        self.on(day)
        self.shop.update_subscription(SUBSCRIPTION, status=status)
        self.look()

    @property
    def granted(self) -> int:
        return len(self.rig.comped_orders)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What a person is asked now: the order and the reason."""
        rows = [row for row in self.rig.rows("runs") if row["state"] == "review"]
        return sorted((row["order_id"], row["reason"]) for row in rows)

    @property
    def ends(self) -> list[tuple[str, str, str]]:
        """The open questions about access that ends: order, reason, and what the person is told."""
        rows = [row for row in self.rig.rows("runs") if row["state"] == "review" and row["workflow"] == "revocation"]
        return [(row["order_id"], row["reason"], row["note"]) for row in rows]

    def order(self, order_id: int) -> tuple[str, str | None]:
        with self.rig.ledger.read() as connection:
            row = connection.execute(select(orders).where(orders.c.order_id == str(order_id))).one()
        return row.state, row.reason


NewYears = Callable[..., Years]


@pytest.fixture
def live(migrated_file: Path, tmp_path: Path) -> Iterator[NewYears]:
    """Makes a product with an offer for the course, on 1 January 2024."""
    shutil.copyfile(migrated_file, tmp_path / "cartbridge.db")
    rigs: list[Rig] = []
    with (
        freeze_time("2024-01-01 12:00:00", ignore=["worker.clients"]) as calendar,
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
    ):

        def make(renewals: str | None = None, **settings: str) -> Years:
            named: dict[str, Any] = {f"CARTBRIDGE_STUDIOCART__{name}": value for name, value in settings.items()}
            rig = Rig(sandbox, f"sqlite:///{tmp_path / 'cartbridge.db'}", tmp_path, clock=FrozenClock(), **named)
            says = "" if renewals is None else f'renewals = "{renewals}"\n'
            (tmp_path / "offers.toml").write_text(
                f'[[offer]]\nsource = "studiocart"\nproduct_id = "{PRODUCT}"\ngrants = [{{ price_id = 501 }}]\n{says}'
            )
            rigs.append(rig)
            return Years(rig, calendar)

        yield make
        for rig in rigs:
            rig.close()


@pytest.mark.parametrize("renewals", ["grant", "ignore", None])
def test_two_years_are_granted_as_the_offer_says_when_trial_failure_pause_and_cancel_come(
    live: NewYears, renewals: str | None
) -> None:
    years = live(renewals)
    payments: list[int] = []

    def expect(*, ends: list[tuple[str, str, str]]) -> None:
        assert years.granted == (len(payments) if renewals == "grant" else min(1, len(payments)))
        undecided = [(str(order), "renewal_undecided") for order in payments[1:]] if renewals is None else []
        assert years.asked == sorted(undecided + [(order, reason) for order, reason, _ in ends])
        assert years.ends == ends

    def bearer() -> str:
        return str(payments[-1] if renewals == "grant" else payments[0])

    def end(status: str, until: str, reason: str | None = None) -> list[tuple[str, str, str]]:
        note = f"subscription {SUBSCRIPTION} is {status}; access is paid for until {until}"
        return [(bearer(), f"subscription_{reason or status}", note)]

    years.begin("2024-01-10", trial_days=14)
    assert years.order(FIRST_ORDER) == ("waiting", "awaiting_payment")
    expect(ends=[])
    years.shop.update_order(FIRST_ORDER, status="paid")  # nothing was due for the trial: it still waits
    payments.append(years.charge("2024-01-24"))
    assert years.order(FIRST_ORDER) == ("ignored", "on_trial")
    expect(ends=[])
    for month in range(2, 6):
        payments.append(years.charge(f"2024-{month:02}-24"))
        expect(ends=[])

    failed = years.charge("2024-06-24", status="failed")
    expect(ends=end("past_due", "2024-06-24"))
    years.on("2024-06-29")
    years.shop.update_order(failed, status="paid")
    years.shop.update_subscription(SUBSCRIPTION, status="active")
    years.look()
    payments.append(failed)
    expect(ends=[])

    payments += [years.charge(f"2024-{month:02}-24") for month in (7, 8, 9)]
    years.set("2024-09-30", "paused")
    expect(ends=end("paused", "2024-10-24"))
    years.on("2024-11-24")
    years.look()
    expect(ends=end("paused", "2024-10-24"))
    years.set("2024-12-05", "active")
    expect(ends=[])
    payments.append(years.charge("2024-12-05"))
    expect(ends=[])

    payments += [years.charge(f"2025-{month:02}-05") for month in range(1, 13)]
    expect(ends=[])
    years.set("2025-12-20", "canceled")
    expect(ends=end("canceled", "2026-01-05"))
    years.on("2026-01-10")
    years.look()
    expect(ends=end("canceled", "2026-01-05"))
    assert len(payments) == 22


def test_one_question_is_asked_of_a_bundle_and_answers_count_when_it_ends_again(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.set("2024-02-01", "paused")
    [question] = [row for row in years.rig.rows("runs") if row["workflow"] == "revocation"]
    years.rig.runtime.operations.resolve(question["id"], actor="operator:ann", note="taken back")
    years.on("2024-02-02")
    years.look()
    assert years.ends == []
    years.set("2024-03-01", "active")
    assert years.asked == [(str(FIRST_ORDER), "subscription_resumed")]
    years.set("2024-03-10", "canceled")  # nobody gave the access back: there is none to take
    assert years.asked == []
    years.set("2024-03-20", "active")
    assert years.asked == [(str(FIRST_ORDER), "subscription_resumed")]


@pytest.mark.parametrize("status", ["past_due", "incomplete", "canceled"])
def test_trial_is_granted_once_and_asked_about_when_it_ends_unpaid(live: NewYears, status: str) -> None:
    years = live("ignore", TRIALS="grant")
    years.begin("2024-01-10", trial_days=14)
    assert years.granted == 1
    years.set("2024-01-24", status)
    reason = "subscription_canceled" if status == "canceled" else "subscription_past_due"
    note = f"subscription {SUBSCRIPTION} is {status}; access is paid for until 2024-01-24"
    assert years.ends == [(str(FIRST_ORDER), reason, note)]
    later = years.charge("2024-01-30")
    assert (years.granted, years.asked) == (1, [])
    assert years.order(later) == ("ignored", "renewal_ignored")


def test_instalments_grant_once_and_stay_when_all_are_paid(live: NewYears) -> None:
    years = live("grant")
    plan = {"id": "price_monthly", "installments": "3", "interval": "month", "frequency": 1}
    years.shop.add_product({"id": PRODUCT, "name": "Course", "plans": [plan]})
    years.begin("2024-01-10", status="paid", amount=500)
    later = [years.charge("2024-02-10"), years.charge("2024-03-10")]
    years.set("2024-03-11", "completed")
    assert [years.order(each) for each in later] == [("ignored", "instalment")] * 2
    assert (years.granted, years.asked) == (1, [])


def test_instalments_are_a_question_when_one_is_not_paid(live: NewYears) -> None:
    years = live("grant")
    years.begin("2024-01-10", status="paid", amount=500, installments=3)
    years.charge("2024-02-10", status="failed")
    assert [reason for _, reason in years.asked] == ["subscription_past_due"]


def test_end_is_a_line_of_the_history_alone_when_the_setting_says_note(live: NewYears) -> None:
    years = live("ignore", SUBSCRIPTION_ENDS="note")
    years.begin("2024-01-10", status="paid", amount=500)
    years.set("2024-02-01", "canceled")
    years.set("2024-03-01", "active")
    assert years.asked == []
    reported = [row for row in years.rig.rows("events") if row["kind"].startswith("subscription_")]
    assert [(row["kind"], row["order_id"], row["reason"]) for row in reported] == [
        ("subscription_ended", str(FIRST_ORDER), "subscription_canceled"),
        ("subscription_goes_on", str(FIRST_ORDER), None),
    ]
    assert reported[0]["detail"] == {
        "subscription_id": str(SUBSCRIPTION),
        "status": "canceled",
        "paid_until": "2024-02-10",
    }


def test_refund_and_end_are_one_question_when_both_come(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.set("2024-02-01", "canceled")
    years.on("2024-02-02")
    years.shop.update_order(FIRST_ORDER, status="refunded")
    years.look()
    assert years.asked == [(str(FIRST_ORDER), "refunded_after_provisioning")]


def test_renewal_is_one_at_once_when_a_stale_list_does_not_show_it(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.on("2024-02-10")
    invoices = years.shop.subscriptions[-1]["invoices"]
    order = years.shop.add_renewal(SUBSCRIPTION, order_amount=500)
    years.shop.update_subscription(SUBSCRIPTION, invoices=invoices)
    years.look()
    assert years.order(order["id"]) == ("ignored", "renewal_ignored")
    assert (years.granted, years.asked) == (1, [])


def test_subscription_s_order_waits_and_no_other_does_when_no_list_of_subscriptions_answers(live: NewYears) -> None:
    years = live("ignore")
    years.on("2024-01-10")
    years.look()
    for operation in ("list_subscriptions", "retrieve_subscription"):
        years.rig.sandbox.inject(Fault("studiocart", operation, status=504, times=None))
    years.begin("2024-01-10", status="paid", amount=500)
    one_time = years.shop.add_order({"customer_email": "john@example.test", "product_id": str(PRODUCT)})
    years.look()
    assert years.order(FIRST_ORDER) == ("waiting", "subscription_unlisted")
    assert years.order(one_time["id"]) == ("planned", None)
    assert years.granted == 1
    years.rig.sandbox.clear_faults()
    years.look()
    assert years.granted == 2


def test_subscription_s_record_is_news_and_never_an_order_when_a_hint_names_it(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.on("2024-02-10")
    years.shop.update_subscription(SUBSCRIPTION, status="canceled")
    years.rig.runtime.ingest("studiocart", str(SUBSCRIPTION), actor="operator:ann")
    years.rig.go_on()
    assert years.granted == 1
    assert years.asked == [(str(FIRST_ORDER), "subscription_canceled")]


def test_hint_s_order_is_a_renewal_when_no_poll_has_read_its_subscription(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.on("2024-02-10")
    order = years.shop.add_renewal(SUBSCRIPTION, order_amount=500)
    years.shop.update_subscription(SUBSCRIPTION, status="canceled")
    result = years.rig.runtime.ingest("studiocart", str(order["id"]), actor="operator:ann", dry_run=True)
    assert (result.state, result.reason) == ("ignored", "renewal_ignored")
    assert years.rig.ingest(order["id"]) == []
    assert years.order(order["id"]) == ("ignored", "renewal_ignored")
    years.look()
    assert [reason for _, reason in years.asked] == ["subscription_canceled"]


def test_order_is_a_question_when_no_subscription_lists_it_for_long(live: NewYears) -> None:
    years = live("ignore")
    years.begin("2024-01-10", status="paid", amount=500)
    years.on("2024-02-10")
    first = years.shop.order(FIRST_ORDER)
    same = ("customer_email", "product_id", "product_name", "payment_plan_id")
    again = years.shop.add_order({name: first[name] for name in same} | {"subscription_id": "4711"})
    years.look()
    years.on("2024-02-11")
    years.rig.sweep_quietly()
    assert years.asked == [(str(again["id"]), "subscription_unlisted")]
    years.rig.runtime.delivery_reader.replan("studiocart", str(again["id"]), replan=True, actor="operator:ann")
    years.rig.go_on()
    assert (years.granted, years.asked) == (2, [])
