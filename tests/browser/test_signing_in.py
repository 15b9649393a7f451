from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.browser.site import NAME, PASSWORD

pytestmark = pytest.mark.browser


def test_operator_comes_to_the_page_asked_for_when_the_password_is_right_at_last(new_page: NewPage) -> None:
    page = new_page(storage_state=None)
    page.goto("/runs?state=failed")
    page.get_by_label("Your name").fill(NAME)
    page.get_by_label("Password").fill("a wrong one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That name and password do not belong together.")
    expect(page.get_by_label("Your name")).to_have_value(NAME)
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    assert page.url.endswith("/runs?state=failed")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
