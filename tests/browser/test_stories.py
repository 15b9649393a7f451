from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.site import Site
from worker.sandbox import Fault

pytestmark = pytest.mark.browser


def search(page: Page, text: str) -> None:
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_timeline_is_found_from_the_order_when_it_is_searched_for(page: Page, site: Site) -> None:
    email = "ida.found@example.test"
    site.sandbox.inject(
        Fault(system="learningcart", operation="addCustomer", status=503, match={"email": email}),
    )
    order_id = site.sell(email)
    run_id = site.run_of(order_id, state="succeeded")
    page.goto("/")
    search(page, f"studiocart/{order_id}")
    expect(page.get_by_role("heading", name=f"studiocart/{order_id}", level=1)).to_be_visible()
    page.get_by_role("link", name=f"price 501, run {run_id}", exact=True).first.click()
    expect(page.get_by_role("region", name="In short")).to_contain_text(f"{email} has access to First aid")
    story = page.get_by_role("region", name="What happened").get_by_role("listitem")
    expect(story.first).to_contain_text(f"Order studiocart/{order_id} was placed by Ida Found.")
    expect(story.last).to_contain_text("access was given, LearningCart order")
    tries = page.get_by_role("list", name="Attempts of add customer", exact=True).get_by_role("listitem")
    expect(tries).to_have_count(2)
    expect(tries.first).to_contain_text("HTTP 503")
    lanes = page.locator("svg.lane")
    expect(lanes).to_have_count(3)
    widths = lanes.first.locator("rect.ok, rect.retryable").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )
    assert len(widths) == 2
    assert min(widths) > 3  # to be seen at all


def test_learner_is_found_by_email_and_told_what_to_do_when_access_failed(page: Page, site: Site) -> None:
    email = "olga.refused@example.test"
    run_id = site.sell_and_fail(email)
    page.goto("/offers")
    search(page, email)
    expect(page.get_by_role("heading", name="Olga Refused", level=1)).to_be_visible()
    assert "@" not in page.url
    answer = page.get_by_role("region", name="In short")
    expect(answer).to_contain_text("it failed")
    expect(answer.locator("a.primary")).to_have_count(1)
    answer.get_by_role("link", name="Replay").click()
    assert page.url.endswith(f"/runs/{run_id}/replay")
    page.get_by_role("button", name="Replay").click()
    site.run_of(site.order_of(run_id), state="succeeded")


def test_run_is_shown_anew_when_it_goes_on(page: Page, site: Site) -> None:
    email = "una.waits@example.test"
    site.sandbox.inject(
        Fault(system="learningcart", operation="addCustomer", kind="slow", seconds=1.5, match={"email": email}),
    )
    order_id = site.sell(email)
    page.goto(f"/runs/{site.run_of(order_id, state='running')}")
    expect(page.locator("#run .badge").first).to_have_text("running")
    site.run_of(order_id, state="succeeded")
    page.evaluate("htmx.trigger(document.body, 'refresh')")  # what the page does every ten seconds
    expect(page.locator("#run .badge").first).to_have_text("succeeded")


def test_pages_are_read_and_forms_sent_when_there_is_no_javascript(new_page: NewPage, site: Site) -> None:
    run_id = site.sell_and_fail("noah.script@example.test")
    page = new_page(java_script_enabled=False)
    page.goto("/")
    page.get_by_role("searchbox").fill(run_id)
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="Replay").first.click()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status")).to_contain_text("Replayed.")
    site.run_of(site.order_of(run_id), state="succeeded")
