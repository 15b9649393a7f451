"""A name that would turn the text around it, at each way out of the product: shown as escapes, whatever the way."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from apprise.decorators import notify
from sqlalchemy import update

from tests.integration.cli.test_terminal import cartbridge
from tests.integration.web.browsing import Browser, Hour, app_with
from tests.unit.worker.web.asking import API_TOKEN
from tests.unit.workflows.fakes.storefront import an_order, record, rows
from worker.clients.alerts import AlertsClient
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import runs
from worker.mail_templates.rendering import one_short_line
from worker.observability.logs import configure_logging
from worker.settings.settings import load_settings
from worker.sources.order import Learner
from workflows.monitoring.event_delivery import body_of

CONTROLS = "\u202e\u2066\u200f\u061c\u2028\x9b\x85\x7f"
NAME = f"Eve{CONTROLS}planted"
EVE = Learner(email="eve@example.test", first_name=NAME, last_name="Doe")


def assert_plain(shown: str) -> None:
    assert "planted" in shown
    assert not set(CONTROLS) & set(shown)


@pytest.fixture
def sold(ledger: Ledger) -> Ledger:
    record(ledger, an_order(learner=EVE))
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=RunState.REVIEW, reason="refused", note=f"no {NAME}"))
    return ledger


def test_api_answers_escapes_when_a_name_holds_controls(sold: Ledger, hour: Hour) -> None:
    browser = Browser(app_with(sold, hour))
    (run,) = rows(sold, runs)
    for path in (f"runs/{run.id}", "orders/studiocart/1109"):
        answer = browser.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {API_TOKEN}"})
        assert answer.status_code == 200
        assert_plain(answer.text)
        assert NAME in json.dumps(answer.json(), ensure_ascii=False)
    browser.close()


def test_page_shows_escapes_when_a_name_holds_controls(sold: Ledger, operator: Browser) -> None:
    (run,) = rows(sold, runs)
    for path in (f"/runs/{run.id}", "/orders/studiocart/1109"):
        answer = operator.get(path)
        assert answer.status_code == 200
        assert_plain(answer.text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs", "show", "RUN"),
        ("runs", "show", "RUN", "--json"),
        ("orders", "show", "studiocart/1109", "--json"),
        ("why", "eve@example.test"),
        ("export", "eve@example.test"),
        ("export", "eve@example.test", "--json"),
        ("export", "eve@example.test", "--json", "--output", "FILE"),
        ("export", "eve@example.test", "--output", "FILE"),
    ],
)
def test_commands_print_escapes_when_a_name_holds_controls(
    sold: Ledger, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (run,) = rows(sold, runs)
    file = tmp_path / "export.out"
    (tmp_path / ".env").write_text(f"CARTBRIDGE_DATABASE_URL=sqlite:///{tmp_path / 'ledger.db'}\n")
    given = {"RUN": run.id, "FILE": str(file)}
    done = cartbridge(tmp_path, *(given.get(each, each) for each in arguments))
    assert done.returncode == 0, done.stderr
    assert_plain(file.read_text(encoding="utf-8") if file.exists() else done.stdout.decode())
    if "--json" in arguments:
        found = json.loads(file.read_text(encoding="utf-8") if file.exists() else done.stdout)
        assert NAME in json.dumps(found, ensure_ascii=False)


def test_receivers_are_told_escapes_when_a_name_holds_controls() -> None:
    reported: list[str] = []

    @notify(on="plantedcontrols")  # type: ignore[no-untyped-call]
    def take(body: str, title: str, *_: object, **__: object) -> None:
        reported.extend((body, title))

    AlertsClient(["plantedcontrols://"]).send(f"About {NAME}", f"Of {NAME}")
    assert len(reported) == 2
    for each in reported:
        assert_plain(each)
    event = {"data": {"first_name": NAME}}
    assert_plain(body_of(event))
    assert json.loads(body_of(event)) == event
    assert_plain(one_short_line(NAME))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_log_holds_escapes_when_a_name_holds_controls(log_format: str, tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logging(load_settings({"CARTBRIDGE_LOG_FORMAT": log_format}, tmp_path / ".env"), stream)
    logging.getLogger("worker").warning("order of %s", NAME, extra={"told": [NAME]})
    logging.getLogger(NAME).warning("planted")
    assert_plain(stream.getvalue())
