from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.site import Site

pytestmark = pytest.mark.browser


def test_replay_succeeds_and_is_in_the_audit_trail_when_it_is_sent_by_a_double_click(page: Page, site: Site) -> None:
    run_id = site.sell_and_fail("rea.played@example.test")
    page.goto(f"/runs/{run_id}")
    page.get_by_role("link", name="Replay").click()
    calls = page.get_by_role("region", name="What will be done").get_by_role("listitem")
    expect(calls).to_have_text(
        [
            "learningcart addCustomer rea.played@example.test",
            "learningcart addCustomerToGroup group 12",
            "learningcart addCompOrder price 501",
        ]
    )
    page.get_by_label("Reason").fill("the account was made")
    page.get_by_role("button", name="Replay").dblclick()
    expect(page.get_by_role("status")).to_contain_text("Replayed.")
    site.run_of(site.order_of(run_id), state="succeeded")
    page.reload()
    expect(page.get_by_role("status")).to_have_count(0)
    trail = page.get_by_role("table", name="Audit trail").get_by_role("row", name="run replayed")
    expect(trail).to_have_count(1)
    expect(trail).to_contain_text("Ann")
    expect(trail).to_contain_text("the account was made")


def test_repetition_needs_a_reason_when_it_is_asked_for(page: Page, site: Site) -> None:
    email = "ada.again@example.test"
    run_id = site.run_of(site.sell(email), state="succeeded")
    page.goto(f"/runs/{run_id}")
    page.get_by_role("link", name="Repeat from here… add comped order").click()
    page.get_by_role("button", name="Repeat on purpose").click()
    assert "/repeat" in page.url  # the browser holds it back
    page.get_by_label("Reason").fill("deleted by mistake")
    page.get_by_role("button", name="Repeat on purpose").click()
    expect(page.get_by_role("status")).to_contain_text("Repeats from add_comped_order.")
    site.wait_for_orders(email, 2)


def test_bulk_replays_as_many_as_it_counted_when_a_list_is_filtered(page: Page, site: Site) -> None:
    run_ids = [site.sell_and_fail(f"bulk-{number}@example.test") for number in range(3)]
    page.goto("/runs")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("link", name="Replay these…").click()
    expect(page.get_by_role("heading", name=re.compile("^3 runs of 3 will be replayed$"))).to_be_visible()
    page.get_by_label("Reason").fill("they were let in")
    page.get_by_role("button", name="Replay 3 runs").click()
    expect(page.get_by_role("status")).to_contain_text("Of 3 runs: 3 replayed.")
    for run_id in run_ids:
        site.run_of(site.order_of(run_id), state="succeeded")


def test_system_waits_while_it_is_paused_and_goes_on_when_it_is_resumed(page: Page, site: Site) -> None:
    page.goto("/systems")
    page.get_by_role("link", name="Pause learningcart").click()
    page.get_by_label("Reason").fill("they migrate")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("Paused learningcart: its runs wait.")
    try:
        run_id = site.run_of(site.sell("pia.paused@example.test"), state="pending")
        page.goto(f"/runs/{run_id}")
        answer = page.get_by_role("region", name="In short")
        expect(answer).to_contain_text("learningcart is paused by Ann: they migrate")
    finally:
        page.goto("/systems/learningcart/resume")
        page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("learningcart")
    site.run_of(site.order_of(run_id), state="succeeded")


def test_unmapped_product_is_granted_when_its_offer_was_pasted(new_page: NewPage, site: Site) -> None:
    product_id = site.new_product()
    order_ids = [site.sell(f"fire-{number}@example.test", "Fire warden", product_id) for number in range(2)]
    for order_id in order_ids:
        site.run_of(order_id, state="review")
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/")
    page.get_by_role("link", name="without an offer").first.click()
    page.get_by_role("link", name=order_ids[0]).click()
    page.get_by_role("link", name="Offers").last.click()
    product = page.get_by_role("listitem").filter(has_text=f"product_id {product_id}")
    expect(product).to_contain_text("2 seats in 2 orders wait for it")
    page.bring_to_front()  # a page that nobody looks at may not write to the clipboard
    product.get_by_role("button", name="Copy").click()
    expect(product.get_by_role("button", name="Copied")).to_be_visible()
    lines = page.evaluate("navigator.clipboard.readText()")
    site.add_offer(lines)  # as it was copied: without a price it is no offer
    page.reload()
    expect(page.get_by_role("region", name="The file cannot be used")).to_contain_text("price_id")
    site.set_price(777)
    page.reload()
    expect(product).to_contain_text("A rule matches it now.")
    product.get_by_role("button", name="Look again").click()
    expect(page.get_by_role("heading", name="2 runs of 2 will be replayed")).to_be_visible()
    page.get_by_role("button", name="Replay 2 runs").click()
    expect(page.get_by_role("status")).to_contain_text("Of 2 runs: 2 planned.")
    expect(product).to_have_count(0)
    for order_id in order_ids:
        site.run_of(order_id, state="succeeded")
    page.goto(f"/orders/studiocart/{order_ids[0]}")
    expect(page.get_by_role("region", name="In short")).to_contain_text("has access to Fire warden (price 777)")
