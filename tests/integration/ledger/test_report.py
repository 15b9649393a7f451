from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.integration.web.filling import add_order, add_run
from worker.clients.mail.client import Mail, MailAddress
from worker.errors import ApiError, ConfigurationError
from worker.ledger.session import Ledger
from worker.ledger.views.page.report import Month, months, report
from workflows.monitoring.report_mail import send_report

OCTOBER = datetime(2026, 10, 15, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    with ledger.write() as connection:
        add_order(connection, "1", OCTOBER, buyer_name="Jane Doe", document={"company": "Acme AS"})
        add_order(connection, "2", OCTOBER, buyer_name="Kari Nordmann")
        add_order(connection, "3", OCTOBER, source="frontcore", buyer_name="", buyer_email="ola@x.example")
        ended: dict[str, Any] = {"state": "succeeded", "finished_at": OCTOBER}
        for number, seat in enumerate(("buyer", "seat-2")):
            add_run(connection, f"r1{number}", OCTOBER, order_id="1", seat_id=seat, **ended)
        add_run(connection, "r2", OCTOBER, order_id="2", **ended)
        for word in ("revoke", "learner", "regrant", "duplicate/90002"):  # only the first is of a refund
            key = f"studiocart/2/1107/buyer/501/{word}"
            add_run(connection, word[:7], OCTOBER, order_id="2", workflow="revocation", state="review", key=key)
        add_run(connection, "r3", OCTOBER, order_id="3", source="frontcore", state="failed", reason="refused")
        gone = {"state": "cancelled", "reason": "refunded_by_source", "finished_at": OCTOBER}
        add_run(connection, "r4", OCTOBER, order_id="3", source="frontcore", title="Crane", **gone)
        # Other months, and what is no seat.
        add_run(connection, "r5", OCTOBER, order_id="1", title="Later", state="succeeded", finished_at=NOVEMBER)
        add_run(connection, "r6", OCTOBER, order_id="1", workflow="welcome_mail", **ended)
        add_run(connection, "r7", NOVEMBER, order_id="1", title="Later", state="review", reason="unnamed_seat")
    return ledger


def test_seats_are_counted_by_course_source_and_customer_when_a_month_is_reported(filled: Ledger) -> None:
    with filled.read() as connection:
        lines = report(connection, Month.named("2026-10", UTC))
        courses = report(connection, Month.named("2026-10", UTC), by_customer=False)
        acme = report(connection, Month.named("2026-10", UTC), course="Forklift course", source="studiocart")
        november = report(connection, Month.named("2026-11", UTC))
    reported = [
        (each.course, each.source, each.customer, each.granted, each.refunded, each.in_question) for each in lines
    ]
    assert reported == [
        ("Crane", "frontcore", "ola@x.example", 0, 1, 0),
        ("Forklift course", "frontcore", "ola@x.example", 0, 0, 1),
        ("Forklift course", "studiocart", "Acme AS", 2, 0, 0),
        ("Forklift course", "studiocart", "Kari Nordmann", 1, 1, 0),
    ]
    assert [(each.course, each.customer, each.granted) for each in courses][2] == ("Forklift course", "", 3)
    assert [each.customer for each in acme] == ["Acme AS", "Kari Nordmann"]
    assert [(each.granted, each.in_question) for each in november] == [(1, 1)]


def test_months_begin_in_the_zone_when_one_is_set(filled: Ledger) -> None:
    oslo = ZoneInfo("Europe/Oslo")
    month = Month.named("2026-10", oslo)
    assert (month.begins_at, month.ends_at) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )
    assert Month.of(datetime(2026, 12, 31, 23, 30, tzinfo=UTC), oslo).name == "2027-01"
    assert Month.of(datetime(2027, 1, 5, tzinfo=UTC), oslo, earlier=1).title == "December 2026"
    with filled.read() as connection:
        found = months(connection, datetime(2026, 12, 2, tzinfo=UTC), UTC)
    assert [each.name for each in found] == ["2026-12", "2026-11", "2026-10"]


@pytest.mark.parametrize(
    "name",
    ["2026", "2026-13", "0000-01", "9999-12", "2026-1", "'", "2026-10-01", "\u0662\u0660\u0662\u0666-\u0661\u0660"],
)
def test_a_month_is_refused_when_it_is_none(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no month"):
        Month.named(name, UTC)


ANN = MailAddress("ann@x.example", "Ann")
LATE_NOVEMBER = datetime(2026, 11, 28, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 0, 10, tzinfo=UTC)


@dataclass
class Mailbox:
    """Takes mails; `fails` are raised one after another before that."""

    mails: list[Mail] = field(default_factory=list)
    fails: list[ApiError] = field(default_factory=list)
    unreachable: list[ApiError] = field(default_factory=list)

    def ready(self) -> None:
        if self.unreachable:
            raise self.unreachable.pop()

    def send(self, mail: Mail) -> str:
        if self.fails:
            raise self.fails.pop()
        self.mails.append(mail)
        return "id"


@pytest.fixture
def begun(ledger: Ledger) -> Ledger:
    with ledger.write() as connection:
        add_order(connection, "1", LATE_NOVEMBER, buyer_name="Jane Doe")
        add_run(connection, "r1", LATE_NOVEMBER, order_id="1", state="succeeded", finished_at=LATE_NOVEMBER)
    assert not look(ledger, Mailbox(), LATE_NOVEMBER)
    return ledger


def look(ledger: Ledger, mailbox: Mailbox, now: datetime, holder: str = "w1") -> bool:
    return send_report(ledger, mailbox, ANN, now=now, zone=UTC, holder=holder, page_url="https://page.example")


def failed(*, outcome_unknown: bool) -> ApiError:
    return ApiError("mail: no", system="mail", operation="send", retryable=True, outcome_unknown=outcome_unknown)


def test_a_month_is_mailed_once_when_several_look_again_and_again(begun: Ledger) -> None:
    mailbox = Mailbox()
    reported = [look(begun, mailbox, DECEMBER + timedelta(hours=hour), f"w{hour % 2}") for hour in range(6)]
    assert reported == [True, False, False, False, False, False]
    [mail] = mailbox.mails
    assert (mail.to, mail.subject, mail.reference) == (
        ANN,
        "Cartbridge: 1 seat granted in November 2026",
        "report-2026-11",
    )
    assert "Forklift course (studiocart), Jane Doe: 1 granted" in mail.text
    assert "https://page.example/report?month=2026-11" in mail.text
    assert look(begun, mailbox, datetime(2027, 1, 3, tzinfo=UTC))
    assert mailbox.mails[1].reference == "report-2026-12"


def test_one_of_two_mails_it_when_both_have_read_that_it_is_due(begun: Ledger) -> None:
    other = Mailbox()

    class Overtaken(Mailbox):
        def ready(self) -> None:
            assert look(begun, other, DECEMBER, "w2")

    mailbox = Overtaken()
    assert not look(begun, mailbox, DECEMBER)
    assert (len(mailbox.mails), len(other.mails)) == (0, 1)


def test_it_is_tried_again_when_it_was_certainly_not_mailed(begun: Ledger) -> None:
    mailbox = Mailbox(fails=[failed(outcome_unknown=False)], unreachable=[failed(outcome_unknown=False)])
    assert [look(begun, mailbox, DECEMBER) for _ in range(4)] == [False, False, True, False]
    assert len(mailbox.mails) == 1


def test_it_is_not_repeated_when_it_may_have_been_taken(begun: Ledger) -> None:
    mailbox = Mailbox(fails=[failed(outcome_unknown=True)])
    assert [look(begun, mailbox, DECEMBER) for _ in range(2)] == [False, False]
    assert mailbox.mails == []
