"""Chromium, a Cartbridge to look at, and pages on which Ann is signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, HttpCredentials, Page, StorageState, sync_playwright

from tests.browser.site import API_TOKEN, NAME, PASSWORD, Site
from tests.integration.product import Product
from worker.sandbox import Sandbox, SandboxConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
IS_REQUIRED = os.environ.get("CARTBRIDGE_REQUIRE_SERVERS", "") not in {"", "0"}
_PATIENCE_MILLISECONDS = 20_000
"""Far more than anything takes, on a machine that is busy too."""

TOKEN: HttpCredentials = {"username": "ann", "password": API_TOKEN, "send": "unauthorized"}
"""What a browser answers where it is asked for the token."""

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, for one file: two cannot be driven from one thread.

    Where there is none, the tests are skipped, or fail where a green run must have run them.
    """
    if not Path(CHROMIUM).exists():
        sentence = "There is no chromium: apt-get install chromium"
        pytest.fail(sentence) if IS_REQUIRED else pytest.skip(sentence)
    with sync_playwright() as playwright:
        # The sandbox of Chromium needs a user other than root; it opens our own pages alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One `cartbridge up` for all tests of this process. Each sells orders of its own and leaves nothing stuck."""
    folder = tmp_path_factory.mktemp("site")
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, f"sqlite:///{folder / 'cartbridge.db'}", folder, **Site.VARIABLES) as product,
    ):
        yield Site(product)


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, site: Site) -> StorageState:
    """The cookies of a browser in which Ann has signed in."""
    with chromium.new_context(base_url=site.url) as context:
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Your name").fill(NAME)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{site.url}/")
        return context.storage_state()


@pytest.fixture
def new_page(chromium: Browser, site: Site, signed_in: StorageState) -> Iterator[NewPage]:
    """Makes a page with a context of its own. What a page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make(**options: Any) -> Page:
        context = chromium.new_context(
            **({"base_url": site.url, "storage_state": signed_in, "http_credentials": TOKEN} | options)
        )
        context.set_default_timeout(_PATIENCE_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # A content security policy that is broken tells so here alone.
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        return page

    yield make
    for context in contexts:
        context.close()
    # That an answer was a 404 is told there, too, and is meant where a test asks for one.
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page on which Ann is signed in."""
    return new_page()
