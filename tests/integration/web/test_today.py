from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import insert
from structlog.testing import capture_logs

from tests.integration.web.browsing import Browser, Hour
from tests.integration.web.filling import add_attempt, add_delivery, add_order, add_run
from tests.unit.worker.ledger.rows import add_watch
from worker.formatting import show_times_in
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors, outbox, pauses


def test_page_is_calm_when_nothing_needs_a_person(operator: Browser) -> None:
    page = operator.get("/").text
    assert "Nothing needs a person." in page
    for system in ("studiocart", "frontcore"):
        assert f'<strong class="system {system}">{system}</strong>' in page
    assert "threedcart</strong>" not in page


def test_page_tells_what_to_do_and_leads_to_the_runs_when_something_needs_you(
    operator: Browser, ledger: Ledger, hour: Hour
) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", hour.now)
        for number in range(3):
            at = hour.now - timedelta(hours=number)
            add_run(connection, f"r{number}", at, state="review", reason="unmapped_product")
        add_run(connection, "late", hour.now, state="pending", next_attempt_at=hour.now - timedelta(minutes=5))
        add_delivery(connection, "d1", hour.now, state="review", reason="order_not_found")
        failed = {"kind": "k", "payload": {}, "state": "failed", "attempts": 9, "created_at": hour.now}
        connection.execute(insert(outbox).values(id="e1", **failed))
    for path in ("/", "/today/live"):
        page = operator.get(path).text
        assert '<span class="count">3</span>' in page
        assert "No offer and no ignore matches this product" in page
        assert "<code>cartbridge offers check</code>" in page
        assert 'href="/runs?state=review&amp;reason=unmapped_product"' in page
        assert "1 run due since 2026-03-04 05:01:07 UTC, and no worker took it." in page
        assert "1 event given up" in page
        assert "order not found" in page
    rows = operator.get("/runs?state=review&reason=unmapped_product").text
    assert rows.count('href="/runs/r') == 3


def test_systems_say_what_is_known_when_something_is_wrong(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", hour.now)
        add_run(connection, "r1", hour.now, system="learningcart")
        add_attempt(connection, "r1", 1, hour.now, outcome="retryable")
        add_watch(connection, "frontcore", late_since=hour.now)
        connection.execute(insert(cursors).values(source="frontcore", position={}, failures=1, last_error="<b>no</b>"))
        pause = {"kind": "operator", "reason": "moving", "actor": "operator:Bo", "since": hour.now}
        connection.execute(insert(pauses).values(system="learningcart", **pause))
    page = operator.get("/today/live").text
    assert "by Bo: moving. Go on with <code>cartbridge resume learningcart</code>." in page
    assert "100.0 % errors of 1" in page
    assert "No poll has succeeded since" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<b>" not in page


def test_charts_have_their_numbers_as_a_table_when_there_was_work(
    operator: Browser, ledger: Ledger, hour: Hour
) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", hour.now)
        add_run(connection, "r1", hour.now - timedelta(seconds=75), finished_at=hour.now)
    page = operator.get("/today/pace").text
    assert "Wed 05:00 UTC: 1 order<" in page
    assert "Wed 05:00 UTC, median: 1.2m" in page
    assert page.count('<th scope="row">') == 48
    assert '<th scope="row">Wed 05:00</th><td class="number">1</td><td class="number">1</td>' in page


def test_page_says_so_when_the_ledger_does_not_answer(operator: Browser, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("ALTER TABLE pauses RENAME TO gone")
    with capture_logs() as lines:
        answer = operator.get("/")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "The ledger does not answer" in answer.text
    assert [line["event"] for line in lines] == ["ledger unavailable"]


def test_times_are_in_the_operators_zone_when_it_is_set(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    show_times_in(ZoneInfo("Asia/Kolkata"))
    with ledger.write() as connection:
        add_order(connection, "1109", hour.now)
        add_run(connection, "late", hour.now, state="pending", next_attempt_at=hour.now - timedelta(minutes=5))
    page = operator.get("/").text
    assert "due since 2026-03-04 10:31:07 IST" in page
    assert "Hour (Asia/Kolkata)" in page
    assert "UTC" not in page
    assert "UTC" not in operator.get("/orders/studiocart/1109").text


def test_page_lists_what_is_left_to_do_until_the_first_order_went_through(
    operator: Browser, ledger: Ledger, hour: Hour
) -> None:
    page = operator.get("/").text
    assert "Until the first order goes through" in page
    assert "Orders are read from studiocart and frontcore" in page
    assert "<code>cartbridge ingest SOURCE ORDER_ID</code>" in page
    with ledger.write() as connection:
        add_order(connection, "1109", hour.now)
    assert "<code>cartbridge ingest SOURCE ORDER_ID</code>" not in operator.get("/today/live").text
    with ledger.write() as connection:
        add_run(connection, "r1", hour.now, state="succeeded", finished_at=hour.now)
    assert "Until the first order goes through" not in operator.get("/").text
