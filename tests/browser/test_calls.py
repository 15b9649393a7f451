"""What callers ask, answered from one search on the page and settled by at most three clicks more."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Site

pytestmark = pytest.mark.browser

MOST_CLICKS = 3


class Caller:
    """A call: the search, then clicks that are counted. Typing is free."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def search(self, text: str) -> None:
        self.page.goto("/")
        box = self.page.get_by_role("searchbox")
        box.fill(text)
        box.press("Enter")
        self.page.wait_for_url(re.compile(r"/(learners|orders|runs|search)[/?]"))
        self.clicks = 0

    def answers(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("region", name="In short")).to_contain_text(text)

    def click(self, name: str | re.Pattern[str], role: str = "link") -> None:
        self.page.get_by_role(role, name=name).first.click()  # type: ignore[arg-type]
        self.page.wait_for_load_state()  # a list that is chosen from before its script is there does nothing
        self.clicks += 1
        assert self.clicks <= MOST_CLICKS

    def fill(self, label: str, text: str) -> None:
        self.page.locator("main").get_by_role("textbox", name=label).fill(text)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_role("status").first).to_contain_text(text)


@pytest.fixture
def call(page: Page) -> Caller:
    return Caller(page)


def test_unmapped_product_is_settled_from_the_search(call: Caller, site: Site) -> None:
    product = site.new_product()
    order_id = site.sell("una.mapped@example.test", "Unmapped course", product)
    site.run_of(order_id, state="review")
    site.add_offer(f'[[offer]]\nsource = "studiocart"\nproduct_id = "{product}"\ngrants = [{{ price_id = 778 }}]')
    call.search(f"studiocart/{order_id}")
    call.answers("offer")
    call.click("Replay")
    call.click("Replay", "button")
    site.run_of(order_id, state="succeeded")


def test_unpaid_order_is_told_by_the_search(call: Caller, site: Site) -> None:
    order_id = site.sell("uma.unpaid@example.test", status="pending")
    site.wait_for_order(order_id, "waiting")
    call.search(order_id)
    call.answers("not paid yet")


def test_refund_after_access_is_settled_from_the_search(call: Caller, site: Site) -> None:
    email = "rob.refunded@example.test"
    order_id = site.sell(email)
    site.run_of(order_id, state="succeeded")
    site.change(order_id, status="refunded")
    site.run_of(order_id, state="review")
    call.search(email)
    call.answers("refunded")
    call.click("Resolve")
    call.fill("What was done", "taken out of the group")
    call.click("It was done by hand", "button")
    call.sees("done by hand")


def test_changed_address_is_settled_from_the_search(call: Caller, site: Site) -> None:
    email = "cam.changed@example.test"
    site.run_of(site.sell(email), state="succeeded")
    call.search(email)
    call.answers("has access")
    call.click("Correct this address")
    call.fill("Email", "cam.correct@example.test")
    call.fill("Reason", "she has another one")
    call.click("Show the calls", "button")
    call.click("Give access", "button")
    site.wait_for_orders("cam.correct@example.test", 1)


def test_nameless_seat_is_settled_from_the_search(call: Caller, site: Site) -> None:
    order_id = site.sell("nel.nameless@example.test", quantity=2)
    site.run_of(order_id, state="review")
    call.search(f"studiocart/{order_id}")
    call.click("Name this seat")
    call.fill("Email", "kim.named@example.test")
    call.fill("First name", "Kim")
    call.fill("Last name", "Lee")
    call.click("Show the calls", "button")
    call.click("Give access", "button")
    site.wait_for_orders("kim.named@example.test", 1)


def test_pause_is_told_and_ended_from_the_search(call: Caller, site: Site) -> None:
    email = "pat.paused@example.test"
    call.page.goto("/systems/learningcart/pause")
    call.page.get_by_role("button", name="Pause").click()
    order_id = site.sell(email)
    site.run_of(order_id, state="pending")
    call.search(email)
    call.answers("learningcart is paused by Ann")
    call.click("Resume learningcart")
    call.click("Resume", "button")
    site.run_of(order_id, state="succeeded")


def test_outage_is_told_and_ended_from_the_search(call: Caller, site: Site) -> None:
    email = "don.down@example.test"
    site.take_learningcart_down()
    order_id = site.sell(email)
    site.wait_for_outage()
    call.search(email)
    call.answers("learningcart is down since")
    site.end_outage()
    call.click("Resume learningcart")
    call.click("Resume", "button")
    site.run_of(order_id, state="succeeded")


def test_failure_is_fixed_and_replayed_from_the_search(call: Caller, site: Site) -> None:
    email = "fay.failed@example.test"
    run_id = site.sell_and_fail(email)
    call.search(email)
    call.click("Replay")
    call.click("Replay", "button")
    site.run_of(site.order_of(run_id), state="succeeded")


def test_all_failures_are_replayed_at_once(call: Caller, site: Site) -> None:
    run_ids = [site.sell_and_fail(f"all-{number}@example.test") for number in range(2)]
    call.search("all-")
    call.click("Runs")
    call.click(re.compile("^Replay (these|what failed)"))
    call.click(re.compile("^Replay [0-9]+ runs"), "button")
    for run_id in run_ids:
        site.run_of(site.order_of(run_id), state="succeeded")


def test_run_is_resolved_and_reopened_from_the_search(call: Caller, site: Site) -> None:
    email = "rex.resolved@example.test"
    run_id = site.sell_and_fail(email)
    call.search(email)
    call.click("Resolve")
    call.fill("What was done", "given by hand")
    call.click("It was done by hand", "button")
    call.sees("done by hand")
    call.search(email)
    call.click("Reopen")
    call.fill("Reason", "that was another one")
    call.click("Reopen the run", "button")
    call.sees("in review")
    site.run_of(site.order_of(run_id), state="review")
    call.search(email)
    call.click("Cancel")
    call.click("Cancel the run", "button")
    site.run_of(site.order_of(run_id), state="cancelled")


def test_history_is_told_by_the_search(call: Caller, site: Site) -> None:
    email = "his.torian@example.test"
    site.run_of(site.sell(email), state="succeeded")
    call.search(email)
    story = call.page.get_by_role("region", name="What happened")
    for part in ("was placed by", "planned", "access was given"):
        expect(story).to_contain_text(part)
    assert call.clicks == 0


def test_who_got_access_last_week_goes_to_a_spreadsheet(call: Caller, site: Site) -> None:
    email = "spre.adsheet@example.test"
    site.run_of(site.sell(email), state="succeeded")
    call.search(email)
    call.click("Runs")
    call.click("Access given in the last 7 days")
    expect(call.page.get_by_role("table", name="Runs, newest first")).to_contain_text(email)
    with call.page.expect_download() as download:
        call.click("Download CSV")
    assert email in download.value.path().read_text(encoding="utf-8-sig")


def test_work_is_handed_over_by_a_note(call: Caller, site: Site) -> None:
    order_id = site.sell("han.dover@example.test")
    site.run_of(order_id, state="succeeded")
    call.search(f"studiocart/{order_id}")
    call.fill("Note", "Her employer pays; ask Mr Olsen.")
    call.click("Write this note", "button")
    call.sees("Wrote a note")
    call.search("han.dover@example.test")
    expect(call.page.get_by_role("region", name="What happened")).to_contain_text("Ann noted on")
    call.click("Activity")
    expect(call.page.get_by_role("table")).to_contain_text("wrote a note")


def test_half_a_name_leads_to_the_answer(call: Caller, site: Site) -> None:
    site.run_of(site.sell("hal.halvorsenius@example.test"), state="succeeded")
    call.page.goto("/")
    call.page.get_by_role("searchbox").press_sequentially("alvorsen")
    call.click(re.compile("Halvorsenius"))
    call.answers("has access")


def test_month_is_counted_in_the_report(call: Caller, site: Site) -> None:
    site.run_of(site.sell("mon.thly@example.test", "Course of the month"), state="succeeded")
    call.page.goto("/")
    call.click("Report")
    call.page.get_by_role("combobox", name="Month").select_option(f"{datetime.now(UTC):%Y-%m}")
    expect(call.page.get_by_role("table")).to_contain_text("Course of the month")
    with call.page.expect_download() as download:
        call.click("Download CSV")
    assert "Course of the month" in download.value.path().read_text(encoding="utf-8-sig")


def test_forgotten_person_is_told_by_the_search(call: Caller, site: Site) -> None:
    email = "for.gotten@example.test"
    site.run_of(site.sell(email), state="succeeded")
    site.forget(email)
    call.search(email)
    expect(call.page.locator("main")).to_contain_text("was forgotten on")
