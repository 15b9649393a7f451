"""The page with 1, 50 and 5,000 rows, light and dark, on a phone and on a desk: nothing sticks out."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser
from pydantic import SecretStr

from benchmarks.fill_ledger import fill
from tests.browser.test_ways_in import FOLDER, STICKING_OUT
from tests.integration.web.filling import add_learner, add_order, add_run
from tests.unit.worker.web.asking import RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.web.app import create_app
from worker.web.server import WebServer

pytestmark = pytest.mark.browser

PASSWORD = "planted-admin-password"
SIZES = {"desk": (1200, 800), "phone": (375, 812)}
LONG = {
    "first_name": "Wolfeschlegelsteinhausenbergerdorff",
    "last_name": "Keihanaikukauakahihuliheekahaunaele-" * 3,
    "email": "a.very.long.address.without.any.place.to.break.it@" + "an-even-longer-domain." * 4 + "example",
}
SIDE_BY_SIDE = """async (sources) => {
  const images = await Promise.all(sources.map((source) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.src = source;
  })));
  const [gap, share, height] = [12, 0.62, 812];
  const canvas = document.createElement("canvas");
  canvas.width = images.reduce((sum, image) => sum + image.width * share + gap, gap);
  canvas.height = height * share + 2 * gap;
  const drawing = canvas.getContext("2d");
  drawing.fillStyle = "#888";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  let left = gap;
  for (const image of images) {
    drawing.drawImage(image, left, gap, image.width * share, image.height * share);
    left += image.width * share + gap;
  }
  return canvas.toDataURL("image/webp", 0.72);
}"""
pictures: dict[str, list[bytes]] = defaultdict(list)
"""By view and rows: light and dark on a desk, then on a phone."""
RECORDED = ("today", "runs", "learner")
"""Of which views pictures are kept for the documentation."""


@pytest.fixture(scope="module", params=[1, 50, 5_000], ids="rows-{}".format)
def rows(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def url(rows: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a year's orders, the newest one's buyer with names that have no end."""
    address = f"sqlite:///{tmp_path_factory.mktemp('screens') / 'ledger.db'}"
    fill(address, max(rows - 1, 2) if rows > 1 else 0, seed=1)
    ledger = Ledger(address)
    now = datetime.now(UTC)
    with ledger.write() as connection:
        name, email = f"{LONG['first_name']} {LONG['last_name']}", LONG["email"]
        add_order(connection, "9" * 18, now, buyer_email=email, buyer_name=name, total_minor_units=123_456_789)
        add_learner(connection, "long", email)
        about = {"order_id": "9" * 18, "email": email, "learner": LONG, "lane": "long", "title": "Forklift-" * 20}
        add_run(connection, "longrun", now, state="review", reason="refunded_after_provisioning", **about)
    offers = tmp_path_factory.mktemp("offers") / "offers.toml"
    offers.write_text("")
    settings = settings_with(web={"admin_password": SecretStr(PASSWORD), "port": 0}, offers_file=offers)
    server = WebServer(settings, create_app(settings, ledger, RecordingDispatcher(), clock=lambda: datetime.now(UTC)))
    server.start()
    yield server.url
    server.stop()
    ledger.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_sticks_out_when_there_are_few_rows_or_many(
    chromium: Browser, url: str, rows: int, scheme: str, size: str
) -> None:
    width, height = SIZES[size]
    with chromium.new_context(
        base_url=url,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
    ) as context:
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{url}/")
        paths = {
            "today": "/",
            "learner": "/learners/long",
            "run": "/runs/longrun",
            "order": f"/orders/studiocart/{'9' * 18}",
        }
        paths |= {
            each: f"/{each}" for each in ("runs", "orders", "deliveries", "report", "activity", "search?q=forklift")
        }
        wide = {}
        for name, path in paths.items():
            page.goto(path)
            page.locator("summary").evaluate_all("all => all.forEach(each => each.click())")
            found = page.evaluate(STICKING_OUT)
            if found or page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide[name] = found
            if FOLDER is not None and (name, rows, size, scheme) == ("runs", 5_000, "desk", "light"):
                page.reload()
                page.get_by_role("searchbox").press_sequentially("jan")
                page.locator("#suggestions a").first.wait_for()
                page.screenshot(path=FOLDER / "suggestions.png", scale="css")
            if FOLDER is not None and name in RECORDED:
                page.reload()
                pictures[f"{name}-{rows}"].append(page.screenshot(scale="css"))
        assert wide == {}


def test_pictures_are_put_side_by_side_when_they_are_asked_for(chromium: Browser, url: str, rows: int) -> None:
    if FOLDER is None:
        pytest.skip("nobody asked")
    folder = FOLDER / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    with chromium.new_context() as context:
        page = context.new_page()
        for name in RECORDED if rows == 1 else RECORDED[:2]:  # there is one learner, however many rows there are
            sources = [f"data:image/png;base64,{b64encode(each).decode()}" for each in pictures[f"{name}-{rows}"]]
            sheet: str = page.evaluate(SIDE_BY_SIDE, sources)
            (folder / f"{name}-{rows}.webp").write_bytes(b64decode(sheet.partition(",")[2]))


def test_navigation_is_a_menu_when_the_screen_is_small(chromium: Browser, url: str, rows: int) -> None:
    if rows > 1:
        pytest.skip("it is the same with more rows")
    for scripted in (True, False):
        with chromium.new_context(
            base_url=url, viewport={"width": 375, "height": 812}, java_script_enabled=scripted
        ) as context:
            page = context.new_page()
            page.goto("/login")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            menu = page.get_by_role("navigation", name="Main")
            assert not menu.is_visible()
            page.get_by_role("button", name="Menu").click()
            assert menu.get_by_role("link").count() == 8
            box = menu.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 375
            if FOLDER is not None:
                page.screenshot(path=FOLDER / "menu.png", scale="css")
            menu.get_by_role("link", name="Orders").click()
            page.get_by_role("heading", name="Orders", level=1).wait_for()
