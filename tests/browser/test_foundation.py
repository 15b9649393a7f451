"""What every page has, in a real browser: sign-in, search, keyboard, light and dark, a narrow screen, the policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pydantic import SecretStr

from tests.integration.web.filling import add_attempt, add_delivery, add_learner, add_order, add_run
from tests.unit.worker.web.asking import RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.web.app import create_app
from worker.web.server import WebServer

pytestmark = pytest.mark.browser

PASSWORD = "planted-admin-password"
PATHS = ("/", "/runs", "/orders", "/search?q=buyer", "/search?q=nothing")
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 360, "height": 780}}
CONTRAST = """() => {
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, .unseen") || !element.getClientRects().length) continue;
    const [one, two] = [luminance(numbers(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}: ${element.textContent}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[str]:
    """A server with a day's work in its ledger."""
    path = tmp_path_factory.mktemp("page") / "ledger.db"
    path.write_bytes(migrated_file.read_bytes())
    ledger = Ledger(f"sqlite:///{path}")
    fill(ledger, datetime.now(UTC))
    settings = settings_with(web={"admin_password": SecretStr(PASSWORD), "port": 0})
    server = WebServer(settings, create_app(settings, ledger, RecordingDispatcher(), clock=lambda: datetime.now(UTC)))
    server.start()
    yield server.url
    server.stop()
    ledger.close()


def fill(ledger: Ledger, now: datetime) -> None:
    with ledger.write() as connection:
        for number in range(60):
            at = now - timedelta(minutes=20 * number)
            add_order(connection, f"{2000 + number}", at)
            state, reason = [("succeeded", None), ("review", "unnamed_seat"), ("failed", "refused")][number % 3]
            add_learner(connection, f"lane-{number}", f"learner-{number}@academy.example")
            add_run(
                connection,
                f"01abc{number:02}zyxwvutsrqpnm",
                at,
                state=state,
                reason=reason,
                order_id=f"{2000 + number}",
                email=f"learner-{number}@academy.example",
                system="learningcart",
                finished_at=at + timedelta(seconds=3 + number) if state == "succeeded" else None,
            )
            add_attempt(
                connection, f"01abc{number:02}zyxwvutsrqpnm", 1, at, outcome="ok" if reason is None else "final"
            )
        add_delivery(connection, "d1", now, state="waiting", next_attempt_at=now + timedelta(minutes=2))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Skips where there is none, unless `CARTBRIDGE_REQUIRE_SERVERS` says that nothing may be skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CARTBRIDGE_REQUIRE_SERVERS", "") not in {"", "0"}:
            pytest.fail("no Chromium on this machine: apt-get install chromium")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, url: str) -> BrowserContext:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/login")
    sign_in(page)
    return context


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    page = signed_in.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []  # a breach of the policy is one, too


def sign_in(page: Page) -> None:
    """On the login page."""
    page.get_by_label("Your name").fill("Ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Today")).to_be_visible()


def test_operator_comes_back_to_where_he_was_going_when_signed_in(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/runs?state=review")
    page.get_by_label("Your name").fill("Ann")
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That name and password do not belong together.")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/runs?state=review")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{url}/login")
    page.goto("/")
    expect(page).to_have_url(f"{url}/login")
    context.close()


def test_session_is_known_when_a_link_of_another_site_is_followed(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    context.route("http://mail.example/**", lambda route: route.fulfill(body=f'<a href="{url}/runs">an alert</a>'))
    page.goto(f"{url}/login")
    sign_in(page)
    page.goto("http://mail.example/")
    page.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    context.close()


def test_everything_is_reached_in_order_when_only_the_keyboard_is_used(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("Tab")
    # There is no offers file here, which every page says first.
    expect(page.get_by_role("link", name="See Offers")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("buyer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Search: buyer")).to_be_visible()


def test_live_parts_follow_the_ledger_when_the_page_is_left_open(page: Page) -> None:
    page.goto("/")
    page.evaluate("document.querySelector('.needs-sheet').remove()")
    with page.expect_response("**/today/live"):
        page.evaluate("htmx.trigger(document.body, 'refresh')")
    expect(page.get_by_role("heading", name="Needs you")).to_be_visible()


def test_page_of_a_session_that_is_over_leads_to_sign_in_when_it_refreshes(browser: Browser, url: str) -> None:
    context = browser.new_context(base_url=url)
    page = context.new_page()
    page.goto("/login")
    sign_in(page)
    context.clear_cookies()
    page.evaluate("htmx.trigger(document.body, 'refresh')")
    expect(page).to_have_url(f"{url}/login")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_pages_fit_and_can_be_read_when_the_screen_is_any(page: Page, scheme: str, size: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    for path in PATHS:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"], path
        assert page.evaluate(CONTRAST) == [], path


def test_pages_read_the_same_when_there_is_no_script(browser: Browser, url: str, signed_in: BrowserContext) -> None:
    context = browser.new_context(base_url=url, java_script_enabled=False, storage_state=signed_in.storage_state())
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_role("heading", name="Needs you")).to_be_visible()
    page.goto("/runs")
    page.get_by_label("State").select_option("review")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(21)
    page.goto("/orders")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("row")).to_have_count(11)
    context.close()
