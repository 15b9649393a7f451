from __future__ import annotations

from typing import Any

import pytest

from tests.integration.web.browsing import PASSWORD, Browser, Hour, app_with
from tests.integration.web.test_login import trail
from tests.unit.worker.ledger.rows import add_event, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.views.page.activity import Act
from worker.ledger.web.operators import list_operators
from workflows.operations.operators import add_operator, remove_operator

OWN = "a password of Kari's own"


@pytest.fixture
def kari(ledger: Ledger, hour: Hour) -> str:
    add_operator(ledger, "Kari Nordmann", OWN, actor="operator:root", reason=None, now=hour())
    return "Kari Nordmann"


def remove(ledger: Ledger, name: str, hour: Hour) -> str:
    return remove_operator(ledger, name, actor="operator:root", reason="left us", now=hour())


@pytest.mark.parametrize("name", ["Kari Nordmann", " kari  NORDMANN "])
def test_operator_signs_in_by_their_own_password_when_they_have_a_name(
    anonymous: Browser, ledger: Ledger, kari: str, name: str
) -> None:
    assert anonymous.sign_in(name, PASSWORD).status_code == 401
    assert anonymous.sign_in(name, OWN).status_code == 303
    assert f"Signed in as {kari}" in anonymous.get("/").text
    assert trail(ledger)[1:] == [("login_refused", "operator:unknown"), ("login", f"operator:{kari}")]
    with ledger.read() as connection:
        assert [each.signed_in_at for each in list_operators(connection)] == [Hour().now]


@pytest.mark.parametrize("name", ["", "admin", "ADMIN"])
def test_admin_password_still_works_when_it_comes_without_an_operators_name(
    anonymous: Browser, ledger: Ledger, kari: str, name: str
) -> None:
    assert anonymous.sign_in(name, OWN).status_code == 401
    assert anonymous.sign_in(name).status_code == 303
    assert trail(ledger)[-1] == ("login", "operator:admin")


def test_nobody_takes_another_name_when_operators_have_names(anonymous: Browser, kari: str) -> None:
    assert anonymous.sign_in("Somebody else").status_code == 401
    assert anonymous.sign_in("Somebody else", OWN).status_code == 401


def test_sessions_end_at_once_when_their_operator_is_removed(
    anonymous: Browser, ledger: Ledger, hour: Hour, kari: str
) -> None:
    admin = Browser(app_with(ledger, hour))
    assert admin.sign_in("").status_code == 303
    assert anonymous.sign_in(kari, OWN).status_code == 303
    assert anonymous.get("/").status_code == 200
    assert remove(ledger, "kari nordmann", hour) == "removed operator Kari Nordmann: signed out everywhere"
    assert anonymous.get("/").status_code == 303
    assert anonymous.sign_in(kari, OWN).status_code == 401
    assert admin.get("/").status_code == 200
    admin.close()


def test_guesses_at_an_operators_password_are_slowed_down_when_they_go_on(anonymous: Browser, kari: str) -> None:
    statuses = [anonymous.sign_in(kari, f"guess {number}").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]


def test_activity_shows_who_did_what_when_it_is_opened(operator: Browser, ledger: Ledger, hour: Hour) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109")
        run_id = add_run(connection, "1109")
        about: dict[str, Any] = {"source": "studiocart", "order_id": "1109", "run_id": run_id}
        add_event(connection, "run_cancelled", actor="operator:Kari", reason="bought <twice>", **about)
        add_event(connection, "run_planned", actor="operator:Kari", **about)
        add_event(connection, "run_cancelled", actor="source", **about)
        add_event(connection, "system_paused", system="learningcart", reason="refused", order_id=None)
    page = operator.get("/activity").text
    assert 'aria-current="page">Activity<' in page
    assert page.count('<th scope="row"') == 3
    for part in ("signed in", "cancelled the run", "bought &lt;twice&gt;", "paused learningcart", "Cartbridge"):
        assert part in page
    assert f'href="/runs/{run_id}"' in page
    for query, found in {
        "who=kari": 1,
        "who=nobody": 0,
        "what=login": 1,
        "about=1109": 1,
        f"about={run_id[:12]}": 1,
        "about=studiocart/1110": 0,
        "since=2001-01-01&until=2100-01-01": 3,
        "until=2001-01-01": 0,
        "who=&what=&about=&since=&until=": 3,
    }.items():
        assert operator.get(f"/activity?{query}").text.count('<th scope="row"') == found, query
    lines = operator.get("/activity.csv?what=run_cancelled").text.splitlines()
    assert len(lines) == 2
    assert lines[1].split(",")[2:4] == ["Kari", "run_cancelled"]


@pytest.mark.parametrize("query", ["what=nonsense", "since=nonsense", "more=1"])
def test_activity_refuses_a_filter_when_it_is_none(operator: Browser, query: str) -> None:
    assert operator.get(f"/activity?{query}").status_code == 422


def test_activity_has_pages_when_there_is_much(operator: Browser, ledger: Ledger) -> None:
    with ledger.write() as connection:
        for _ in range(60):
            add_event(connection, Act.RUN_REPLAYED, actor="operator:Kari")
    page = operator.get("/activity?who=Kari").text
    assert page.count('<th scope="row"') == 50
    (older,) = [part.partition('"')[0] for part in page.split('rel="next" href="')[1:]]
    assert operator.get(older.replace("&amp;", "&")).text.count('<th scope="row"') == 10
    assert operator.get("/activity?after=999").status_code == 404
