from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response

from tests.integration.web.browsing import PASSWORD, Browser, Hour, app_with, settings_of_the_page
from worker.errors import IllegalTransitionError
from worker.ledger.session import Ledger
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, form_of, operator_of


@pytest.fixture
def browser(ledger: Ledger, hour: Hour) -> Iterator[Browser]:
    """Ann, in an app with a view that acts."""
    app: FastAPI = app_with(ledger, hour)
    router = guarded_router(Page(settings_of_the_page(), ledger, clock=hour))

    @router.post("/act")
    def act(request: Request) -> Response:
        return Response(f"{operator_of(request)} {field(request, 'what')} {form_of(request)['what']}")

    @router.get("/refuse")
    def refuse() -> Response:
        raise IllegalTransitionError("Run r1 is running and cannot be <cancelled>. Use `cartbridge why`.")

    app.include_router(router)
    browser = Browser(app)
    assert browser.sign_in("Ann", PASSWORD).status_code == 303
    yield browser
    browser.close()


def test_view_knows_who_acts_and_what_was_sent_when_the_form_is_ours(browser: Browser) -> None:
    form = {"form_token": browser.form_token("/"), "what": " pause "}
    assert browser.send_form("/act", form).text == "operator:Ann pause [' pause ']"


def test_refusal_is_a_page_with_its_sentence_when_a_view_cannot_do_it(browser: Browser) -> None:
    answer = browser.get("/refuse")
    assert answer.status_code == 409
    assert "Run r1 is running and cannot be &lt;cancelled&gt;. Use <code>cartbridge why</code>." in answer.text


def test_page_is_the_same_when_the_ledger_is_postgresql(postgres_url: str, hour: Hour) -> None:
    ledger = Ledger(postgres_url)
    ledger.migrate()
    browser = Browser(app_with(ledger, hour))
    assert browser.sign_in().status_code == 303
    for path in ("/", "/runs?state=review", "/orders?source=threedcart", "/search?q=jane"):
        assert browser.get(path).status_code == 200
    with Page(settings_of_the_page(), ledger, clock=hour).reading() as connection:
        assert connection.exec_driver_sql("SHOW plan_cache_mode").scalar() == "force_custom_plan"
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SHOW plan_cache_mode").scalar() == "auto"
    browser.close()
    ledger.close()
