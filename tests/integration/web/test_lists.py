from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from html import unescape

import pytest

from tests.integration.web.browsing import Browser, Hour
from tests.integration.web.filling import add_delivery, add_learner, add_order, add_run
from worker.ledger.session import Ledger


def links(page: str, begins: str) -> list[str]:
    return re.findall(rf'class="(?:id[^"]*|row)" href="({begins}[^"]*)"', page)


@pytest.fixture
def filled(ledger: Ledger, hour: Hour) -> Ledger:
    """Sixty runs of sixty orders, a minute apart; every third is in review."""
    with ledger.write() as connection:
        for number in range(60):
            at = hour.now - timedelta(minutes=number)
            add_order(connection, f"{2000 + number}", at, total_minor_units=4999, currency="USD")
            state, reason = ("review", "unnamed_seat") if number % 3 == 0 else ("succeeded", None)
            values = {"order_id": f"{2000 + number}", "email": f"learner-{number}@x.example"}
            add_run(connection, f"run{number:02}", at, state=state, reason=reason, **values)
    return ledger


@pytest.mark.parametrize(("path", "begins"), [("/runs", "/runs/"), ("/orders", "/orders/")])
def test_every_row_is_on_one_page_when_the_pages_are_turned(
    operator: Browser, filled: Ledger, path: str, begins: str
) -> None:
    first = operator.get(path).text
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = operator.get(unescape(older)).text
    assert 'rel="next"' not in second
    assert len(links(first, begins)) == 50
    found = links(first, begins) + links(second, begins)
    assert len(set(found)) == 60
    assert found == sorted(found)  # the highest number is the oldest


def test_filters_stay_when_the_page_is_turned(operator: Browser, filled: Ledger) -> None:
    page = operator.get("/runs?state=succeeded&reason=&source=studiocart&system=&since=7d").text
    assert len(links(page, "/runs/")) == 40
    assert '<option value="succeeded" selected>' in page
    assert '<option value="7d" selected>' in page
    assert "Show all" in page
    assert "Older" not in page


def test_rows_name_learner_product_state_and_reason_when_listed(operator: Browser, filled: Ledger) -> None:
    page = operator.get("/runs?state=review").text
    assert '<a class="row" href="/runs/run00">learner-0@x.example</a>' in page
    assert "Forklift course" in page
    assert '<span class="badge review">review</span>' in page
    assert 'title="The seat was bought, but the order names nobody for it."' in page
    orders = operator.get("/orders").text
    assert "49.99 USD" in orders
    assert "Bo Buyer" in orders


def test_run_without_an_order_is_listed_when_it_belongs_to_a_completion(
    operator: Browser, ledger: Ledger, hour: Hour
) -> None:
    with ledger.write() as connection:
        add_run(connection, "follow", hour.now, workflow="follow_on", source="learningcart", order_id=None)
    page = operator.get("/runs").text
    assert links(page, "/runs/") == ["/runs/follow"]
    assert "nobody named" in page
    assert not links(page, "/orders/")


def test_filters_offer_what_occurs_with_its_count_when_rows_are_there(operator: Browser, filled: Ledger) -> None:
    page = operator.get("/runs").text
    assert '<option value="review">review (20)</option>' in page
    assert '<option value="unnamed_seat">unnamed seat (20)</option>' in page
    assert 'value="failed"' not in page
    assert "60 runs, newest first" in page
    chosen = operator.get("/runs?state=failed").text
    assert '<option value="failed" selected>failed (0)</option>' in chosen
    assert 'value="unnamed_seat"' not in chosen


def test_list_says_so_when_nothing_matches(operator: Browser) -> None:
    assert "No runs yet." in operator.get("/runs").text
    assert "No orders that match these filters." in operator.get("/orders?since=1h").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs?state=nonsense", 422),
        ("/runs?colour=red", 422),
        ("/orders?system=learningcart", 422),
        ("/runs?after=nothing", 404),
        ("/orders?after=nothing", 404),
        ("/runs?after=%00", 404),
    ],
)
def test_address_is_refused_as_a_page_when_it_asks_for_what_is_not_there(
    operator: Browser, path: str, status: int
) -> None:
    answer = operator.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "nonsense" not in answer.text


def test_search_goes_straight_there_when_one_thing_is_meant(operator: Browser, filled: Ledger, hour: Hour) -> None:
    with filled.write() as connection:
        add_learner(connection, "lane7", "ann@x.example")
        add_order(connection, "a/b 1", hour.now, source="frontcore")
    expected = {
        "ann@x.example": "/learners/lane7",
        "2007": "/orders/studiocart/2007",
        "frontcore/a/b 1": "/orders/frontcore/a%2Fb%201",
        "run07": "/runs/run07",
    }
    for wanted, path in expected.items():
        answer = operator.get("/search", params={"q": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, path)


def test_search_lists_by_kind_when_several_are_meant(operator: Browser, filled: Ledger) -> None:
    with filled.write() as connection:
        add_learner(connection, "lane7", "ann@x.example")
        add_learner(connection, "lane8", "anna@x.example")
    people = operator.get("/search", params={"q": "ann@"}).headers
    assert people["location"] == "/learners/lane7"
    page = operator.get("/search", params={"q": "buyer"}).text
    assert len(links(page, "/orders/")) == 20
    assert "At most 20 of each kind are shown." in page
    assert len(links(operator.get("/search", params={"q": "run0"}).text, "/runs/")) == 10


def test_search_says_what_it_looked_for_when_nothing_is_found(operator: Browser) -> None:
    page = operator.get("/search", params={"q": "<i>nobody"}).text
    assert "Nothing in the ledger is called “&lt;i&gt;nobody”." in page
    assert "LearningCart order" in page
    assert 'value="&lt;i&gt;nobody"' in page


def test_the_rows_of_the_filters_are_a_file_when_it_is_downloaded(operator: Browser, filled: Ledger) -> None:
    page = operator.get("/runs?reason=unnamed_seat&state=").text
    (path,) = re.findall(r'href="([^"]+)" download', page)
    answer = operator.get(unescape(path))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert (len(rows), {row["reason"] for row in rows}) == (20, {"unnamed_seat"})
    everything = list(csv.DictReader(io.StringIO(operator.get("/runs.csv").text.removeprefix("\ufeff"))))
    assert len(everything) == 60  # more than a page shows
    orders = list(csv.DictReader(io.StringIO(operator.get("/orders.csv?since=1h").text.removeprefix("\ufeff"))))
    assert (orders[0]["total.minor_units"], orders[0]["total.currency"]) == ("4999", "USD")
    assert operator.get("/runs.csv?state=odd").status_code == 422


@pytest.mark.parametrize("path", ["/runs.csv", "/orders.csv", "/deliveries.csv", "/report.csv"])
def test_no_file_is_given_when_nobody_is_signed_in(anonymous: Browser, filled: Ledger, path: str) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


def test_a_long_file_is_whole_when_it_takes_several_readings(
    operator: Browser, filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.web.page.views.lists._ROWS_AT_ONCE", 7)
    for path in ("/runs.csv", "/orders.csv"):
        rows = list(csv.reader(io.StringIO(operator.get(path).text)))
        assert (len(rows), len({tuple(row) for row in rows})) == (61, 61)


def test_deliveries_are_listed_with_their_orders_when_some_came(operator: Browser, filled: Ledger, hour: Hour) -> None:
    with filled.write() as connection:
        for number in range(55):
            at = hour.now - timedelta(minutes=number)
            state = "review" if number == 3 else "planned"
            add_delivery(connection, f"d{number:02}", at, state=state, via="poll" if number % 2 else "webhook")
        add_delivery(connection, "lead", hour.now, order_id=None, state="ignored")
    first = operator.get("/deliveries").text
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first)
    assert links(first, "/orders/") == ["/orders/studiocart/1109"] * 49
    assert "no order" in first
    assert len(links(operator.get(unescape(older)).text, "/orders/")) == 6
    assert len(links(operator.get("/deliveries?state=review&via=poll").text, "/orders/")) == 1
    assert operator.get("/deliveries?via=pigeon").status_code == 422
    rows = list(csv.DictReader(io.StringIO(operator.get("/deliveries.csv?via=poll").text.removeprefix("\ufeff"))))
    assert (len(rows), {row["via"] for row in rows}) == (27, {"poll"})


def test_a_month_is_reported_with_totals_and_as_a_file_when_it_is_chosen(
    operator: Browser, filled: Ledger, hour: Hour
) -> None:
    with filled.write() as connection:
        values = {"order_id": "2001", "state": "succeeded", "finished_at": hour.now}
        add_run(connection, "done1", hour.now, **values)
        add_run(connection, "done2", hour.now, **(values | {"seat_id": "seat-2"}))
    month = f"{hour.now:%Y-%m}"
    page = operator.get(f"/report?month={month}").text
    assert "Bo Buyer" in page
    assert re.search(r"<tfoot>.*>2<.*>0<.*>20<", page)
    assert f'<option value="{month}" selected>' in page
    rows = list(csv.DictReader(io.StringIO(operator.get(f"/report.csv?month={month}").text.removeprefix("\ufeff"))))
    assert [(row["customer"], row["granted"], row["in_question"]) for row in rows] == [("Bo Buyer", "2", "20")]
    assert operator.get("/report").status_code == 200
    assert operator.get("/report?month=2026-13").status_code == 404


def test_customers_are_behind_their_course_when_a_month_is_large(
    operator: Browser, filled: Ledger, hour: Hour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.web.page.views.report.MOST_SEATS", 10)
    page = operator.get(f"/report?month={hour.now:%Y-%m}").text
    assert "Bo Buyer" not in page
    (path,) = re.findall(r'href="(/report\?month=[^"]*course=[^"]*)"', page)
    assert "Bo Buyer" in operator.get(unescape(path)).text


def test_what_may_be_meant_is_suggested_when_somebody_types(operator: Browser, filled: Ledger, hour: Hour) -> None:
    with filled.write() as connection:
        add_learner(connection, "lane-run00", "jo@x.example")
        add_order(connection, "77", hour.now, buyer_name="<b>Jo</b> Doe", buyer_email="jo@x.example")
    page = operator.get("/search/suggestions", params={"q": "<b>jo"}).text
    assert '<a href="/orders/studiocart/77">' in page
    assert "&lt;b&gt;Jo&lt;/b&gt; Doe" in page
    assert '<span class="badge planned">planned</span>' in page
    assert "Nothing is called “zzzz”." in operator.get("/search/suggestions", params={"q": "zzzz"}).text
    assert operator.get("/search/suggestions", params={"q": "z"}).text.strip() == ""
    assert 'hx-get="/search/suggestions"' in operator.get("/").text
