from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Page, expect
from sqlalchemy import select

from tests.browser.conftest import NewPage
from tests.browser.site import Site
from worker.ledger.tables.runs import learners
from worker.sandbox import Fault
from workflows.operations.notes import note_order

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "axe-core" / "axe-4.14.1.min.js").read_text()
SCREENSHOTS = os.environ.get("CARTBRIDGE_SCREENSHOTS", "")
FOLDER = Path(SCREENSHOTS).resolve() if SCREENSHOTS else None
"""Where pictures for the documentation go, when somebody asks for them."""
FOR_DOCS = {(name, "light") for name in ("today", "learner", "run", "replay", "order", "offers", "systems")} | {
    ("run", "dark")
}
STICKING_OUT = """() => [...document.querySelectorAll("main :is(p, h1, h2, h3, li, dd, td, th, a, button, pre, svg)")]
  .filter((each) => !each.closest("pre, .unseen, nav, thead, caption"))
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML.slice(0, 120))"""
NARROWEST = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, str]:
    """The address of each kind of page, on a site in which something of every kind has happened."""
    email = "maria.lopez@example.test"
    site.sandbox.inject(
        Fault(system="learningcart", operation="addCustomer", status=503, match={"email": email}),
        Fault(system="learningcart", operation="addCompOrder", kind="cut", when="after"),
    )
    order_id = site.sell(email)
    run_id = site.run_of(order_id, state="succeeded")
    site.change(order_id, customer_lastname="Lopez-Diaz")
    text = "Her employer pays.\n\nAsk for Mr Olsen-of-the-very-long-name-without-any-space-in-it-anywhere."
    about: dict[str, Any] = {"actor": "operator:Kari", "dry_run": False, "now": datetime.now(UTC)}
    note_order(site.product.ledger, "studiocart", order_id, text, **about)
    failed = site.sell_and_fail("omar.haddad@example.test")
    review = site.run_of(site.sell("li.wei@example.test", "Fire warden", site.new_product()), state="review")
    with site.product.ledger.read() as connection:
        learner_id = connection.scalar(select(learners.c.id).where(learners.c.email_key == "omar.haddad@example.test"))
    return {
        "today": "/",
        "runs": "/runs",
        "orders": "/orders",
        "search": "/search?q=nobody",
        "run": f"/runs/{run_id}",
        "review": f"/runs/{review}",
        "order": f"/orders/studiocart/{order_id}",
        "learner": f"/learners/{learner_id}",
        "replay": f"/runs/{failed}/replay",
        "repeat": f"/runs/{run_id}/repeat?step=add_comped_order",
        "resolve": f"/runs/{review}/resolve",
        "bulk": "/replay",
        "offers": "/offers",
        "systems": "/systems",
        "activity": "/activity",
        "docs": "/docs",
        "pause": "/systems/learningcart/pause",
        "nothing": "/runs/nobody",
    }


def complaints_of_axe(page: Page, *, rules: str = "") -> list[str]:
    """What axe-core takes for serious or critical, each with where it is; by all of its rules, or by one."""
    page.evaluate(AXE)
    options = {"resultTypes": ["violations"]} | ({"runOnly": [rules]} if rules else {})
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_when_every_page_is_seen(
    new_page: NewPage, pages: dict[str, str], scheme: str
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": 1200, "height": 800})
    rules = "color-contrast" if scheme == "dark" else ""  # what else there is to find does not depend on it
    found = {}
    for name, path in pages.items():
        page.goto(path)
        if name == "run":
            page.locator("summary").click()
        if complaints := complaints_of_axe(page, rules=rules):
            found[name] = complaints
        if FOLDER is not None and (name, scheme) in FOR_DOCS:
            take_picture(page, FOLDER, name if scheme == "light" else f"{name}-{scheme}")
    anonymous = new_page(storage_state=None, color_scheme=scheme)
    anonymous.goto("/login")
    if complaints := complaints_of_axe(anonymous, rules=rules):
        found["login"] = complaints
    assert found == {}


def take_picture(page: Page, folder: Path, name: str) -> None:
    """What is seen of a page, as a small PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    page.locator("details[open] > summary").evaluate_all("open => open.forEach(each => each.click())")
    page.evaluate("scrollTo(0, 0)")
    height = 1000 if name.startswith("run") else 800
    shown: FloatRect = {"x": 0, "y": 0, "width": 1200, "height": height}
    page.screenshot(path=folder / f"{name}.png", full_page=True, clip=shown, scale="css")


def test_nothing_scrolls_sideways_when_the_screen_is_narrow(new_page: NewPage, pages: dict[str, str]) -> None:
    page = new_page(viewport=NARROWEST)
    wide = {}
    for name, path in pages.items():
        page.goto(path)
        # What sticks out of a sheet would be cut off there, which is no better.
        sticking_out = page.evaluate(STICKING_OUT)
        overhang = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overhang > 0 or sticking_out:
            wide[name] = (overhang, sticking_out)
    assert wide == {}


def test_run_is_replayed_when_there_is_nothing_but_a_keyboard(page: Page, site: Site) -> None:
    run_id = site.sell_and_fail("kim.keys@example.test")
    page.goto(f"/runs/{run_id}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    # In the order of reading: the learner, then what is to be done first.
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="kim.keys@example.test")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Replay")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"  # it is seen where one is
    page.keyboard.press("Enter")
    page.wait_for_url("**/replay")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "reason":
            break
    page.keyboard.type("by keyboard")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Replay")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Replayed.")
    site.run_of(site.order_of(run_id), state="succeeded")
