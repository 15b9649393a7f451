"""An operator's browser on a whole runtime: what a form does is done to a ledger, and a sandbox tells what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import Row, select

from tasks.dispatch import Dispatcher
from tests.faults.harness.product import Rig
from tests.integration.web.browsing import Browser
from worker.ledger.tables.runs import events, runs
from worker.sandbox import Fault
from worker.web.app import create_app
from worker.web.page.actions.operator import Operator

PASSWORD: Final = "planted-admin-password"
API_TOKEN: Final = "planted-api-token"
REFUSED: Final = Fault(system="learningcart", operation="addCustomer", status=400, body="Invalid state.")


class RecordingDispatcher(Dispatcher):
    """Sends nothing, and remembers what it was to send."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.sweeps = 0
        self.polls: list[str] = []
        self.orders: list[str] = []
        self.backfills = 0

    def send_order(self, source: str, order_id: str) -> bool:
        self.orders.append(f"{source}/{order_id}")
        return True

    def send_backfills(self) -> bool:
        self.backfills += 1
        return True

    def send_runs(self, run_ids: Sequence[str]) -> bool:
        self.runs += run_ids
        return True

    def send_poll(self, source: str) -> bool:
        self.polls.append(source)
        return True

    def send_sweep(self) -> bool:
        self.sweeps += 1
        return True


class Form(HTMLParser):
    """The last form of a page that is sent by POST, the one in the content: its address and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            is_sent = given.get("method") == "post" and given["action"] != "/logout"
            self.action, self.fields = (given["action"], {}) if is_sent else (self.action, self.fields)
        elif tag == "input" and given.get("type") == "hidden" and self.action:
            self.fields.setdefault(given["name"], []).append(given["value"])


class Office(Browser):
    """Ann at the page of a `Rig`."""

    def __init__(self, rig: Rig, *, acts: bool = True) -> None:
        self.rig = rig
        self.dispatcher = RecordingDispatcher()
        operator = Operator(rig.runtime.operations, self.dispatcher) if acts else None
        super().__init__(create_app(rig.settings, rig.ledger, rig.dispatcher, clock=rig.clock, operator=operator))
        assert self.sign_in("Ann", PASSWORD).status_code == 303

    @property
    def offers_file(self) -> Path:
        return self.rig.settings.offers_file

    def form_of(self, path: str) -> Form:
        """The form of a page that asks."""
        page = self.get(path)
        assert page.status_code == 200, page.text
        form = Form(page.text)
        assert form.action, page.text
        return form

    def send(self, form: Form, **fields: str) -> httpx.Response:
        """Send a form as it is, but for `fields`."""
        body: dict[str, Any] = form.fields | fields
        return self.post(form.action, data=body, headers={"Origin": "http://cartbridge.example"})

    def page_after(self, answer: httpx.Response) -> str:
        """The page that an action led to."""
        assert answer.status_code == 303, answer.text
        page = self.get(answer.headers["location"])
        assert page.status_code == 200, page.text
        return page.text

    def run(self, run_id: str) -> Row[Any]:
        with self.rig.ledger.read() as connection:
            return connection.execute(select(runs).where(runs.c.id == run_id)).one()

    def trail(self, kind: str) -> list[tuple[str, str | None]]:
        """Who did it, and why."""
        with self.rig.ledger.read() as connection:
            found = connection.execute(select(events).where(events.c.kind == kind).order_by(events.c.id))
            return [(row.actor, row.reason) for row in found]
