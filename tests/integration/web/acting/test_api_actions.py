from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import API_TOKEN, RecordingDispatcher
from tests.unit.worker.web.asking import AppClient, assert_problem
from worker.web.app import create_app
from worker.web.page.actions.operator import Operator

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
BASIC = {"Authorization": "Basic " + base64.b64encode(f"ann:{API_TOKEN}".encode()).decode()}


class Program(AppClient):
    """A program that has the token."""

    def __init__(self, rig: Rig) -> None:
        self.dispatcher = RecordingDispatcher()
        operator = Operator(rig.runtime.operations, self.dispatcher)
        super().__init__(create_app(rig.settings, rig.ledger, rig.dispatcher, clock=rig.clock, operator=operator))

    def act(self, path: str, **body: Any) -> httpx.Response:
        return self.post(f"/api/v1/{path}", json=body, headers=BEARER)

    def ask(self, path: str) -> Any:
        answer = self.get(f"/api/v1/{path}", headers=BEARER)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def program(rig: Rig) -> Iterator[Program]:
    program = Program(rig)
    yield program
    program.close()


def test_run_is_replayed_when_a_program_says_so(program: Program, rig: Rig, failed_run: str) -> None:
    would = program.act(f"runs/{failed_run}/replay", dry_run=True)
    assert would.status_code == 200
    assert len(would.json()["calls"]) == 3
    assert (program.ask(f"runs/{failed_run}")["state"], program.dispatcher.runs) == ("failed", [])
    done = program.act(f"runs/{failed_run}/replay", reason="the group is there now").json()
    assert (done["result"], done["run_id"]) == ("replayed", failed_run)
    assert program.dispatcher.runs == [failed_run]
    rig.go_on()
    assert program.act(f"runs/{failed_run}/replay").json()["result"] == "nothing"
    (act,) = program.ask("activity?kind=run_replayed")
    assert (act["actor"], act["reason"], act["run_id"]) == ("operator:api", "the group is there now", failed_run)


def test_run_is_settled_and_reopened_when_a_program_says_so(program: Program, failed_run: str) -> None:
    assert program.act(f"runs/{failed_run}/cancel", reason="sold twice").json()["result"] == "done"
    assert_problem(program.act(f"runs/{failed_run}/cancel"), 409)
    assert_problem(program.act(f"runs/{failed_run}/reopen"), 422)
    assert program.act(f"runs/{failed_run}/reopen", reason="it was not").status_code == 200
    assert_problem(program.act(f"runs/{failed_run}/resolve", note=" "), 422)
    assert_problem(program.act(f"runs/{failed_run}/resolve", note="by phone", order_id="12a"), 422)
    assert program.act(f"runs/{failed_run}/resolve", note="by phone", order_id="4711").status_code == 200
    run = program.ask(f"runs/{failed_run}")
    assert (run["state"], run["note"], run["result_id"]) == ("succeeded", "by phone", "4711")


def test_finished_effect_is_repeated_only_with_a_reason(program: Program, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.go_on()
    path, step = f"runs/{run_id}/replay", "add_comped_order"
    assert_problem(program.act(path, from_step=step, again=True), 422)
    assert_problem(program.act(path, from_step=step), 409)
    assert_problem(program.act(path, from_step="nonsense", again=True, reason="x"), 409)
    assert program.act(path, from_step=step, again=True, reason="it was deleted there").json()["result"] == "replayed"


def test_an_effect_is_repeated_once_when_a_program_says_it_twice_of_the_run_that_it_saw(
    program: Program, rig: Rig
) -> None:
    """A program that got no answer asks again."""
    run_id = rig.enrol()
    rig.go_on()
    seen = program.ask(f"runs/{run_id}")["generation"]
    how = {"again": True, "reason": "deleted by hand", "generation": seen}
    assert program.act(f"runs/{run_id}/replay", **how).json()["result"] == "replayed"
    rig.go_on()
    assert program.act(f"runs/{run_id}/replay", **how).json()["result"] == "nothing"
    rig.go_on()
    assert len(rig.comped_orders) == 2
    assert_problem(program.act(f"runs/{run_id}/replay", replan=True, again=True, reason="x"), 409)


def test_seats_are_named_when_a_program_says_whose_they_are(program: Program, rig: Rig) -> None:
    rig.sell(7001, quantity=3)
    rig.ingest(7001)
    seats = [row["id"] for row in rig.rows("runs") if row["reason"] == "unnamed_seat"]
    kim = {"email": "kim@example.test", "first": "Kim", "last": "Lee"}
    assert_problem(program.act(f"runs/{seats[0]}/seat", email="no address", first="Kim", last="Lee"), 409)
    (seen,) = {program.act(f"runs/{seats[0]}/seat", **kim, dry_run=True).json()["result"]}
    assert (seen, program.dispatcher.runs) == ("named", [])
    assert program.act(f"runs/{seats[0]}/seat", **kim).json()["result"] == "named"
    assert len(program.dispatcher.runs) == 1
    people = [{"email": "lin@example.test", "first": "Lin", "last": "Yu"}]
    named = program.act("orders/studiocart/7001/seats", people=people)
    assert [each["result"] for each in named.json()] == ["named"]
    assert_problem(program.act("orders/studiocart/7001/seats", people=[]), 422)
    assert_problem(program.act("orders/studiocart/9999/seats", people=people), 404)


def test_note_and_pause_are_kept_when_a_program_writes_them(program: Program, rig: Rig) -> None:
    rig.enrol()
    assert program.act("orders/studiocart/7001/notes", text="Her employer\n\npays.").status_code == 200
    (note,) = program.ask("orders/studiocart/7001")["notes"]
    assert (note["actor"], note["text"]) == ("operator:api", "Her employer\n\npays.")
    assert "noted" in json.dumps(program.ask("why?subject=studiocart/7001")["timeline"])
    assert_problem(program.act("orders/studiocart/7001/notes", text=" "), 409)
    assert_problem(program.act("orders/studiocart/7001/notes", text="a\0b"), 422)
    assert program.act("systems/learningcart/pause", reason="they move").status_code == 200
    assert [each["system"] for each in program.ask("status")["pauses"]] == ["learningcart"]
    assert program.act("systems/learningcart/resume").status_code == 200
    assert program.dispatcher.sweeps == 1
    assert_problem(program.act("systems/nonsense/pause"), 422)


def test_lists_are_those_of_the_command_line_when_they_are_asked_for(program: Program, rig: Rig) -> None:
    rig.sell(7002, product_id="1200")
    rig.ingest(7002)
    (product,) = program.ask("offers/unmapped")
    assert (product["source"], product["orders"]) == ("studiocart", ["7002"])
    assert program.ask("operators") == []
    assert program.ask("activity?who=nobody") == []
    assert_problem(program.get("/api/v1/why?subject=nobody@example.test", headers=BEARER), 404)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, BASIC])
def test_nothing_is_done_or_read_when_there_is_no_token(
    program: Program, failed_run: str, headers: dict[str, str]
) -> None:
    large = b" " * (2 * 1024 * 1024)
    for body in (b"{}", large):
        how = {"content": body, "headers": headers | {"Content-Type": "application/json"}}
        assert_problem(program.post(f"/api/v1/runs/{failed_run}/cancel", **how), 401)
    assert program.ask(f"runs/{failed_run}")["state"] == "failed"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b" " * (2 * 1024 * 1024), 413), (b"{", 422), (b"[" * 50_000, 400), (b'{"nonsense": 1}', 422), (b"\xff", 400)],
)
def test_body_is_refused_when_it_cannot_be_taken(program: Program, failed_run: str, body: bytes, status: int) -> None:
    how = {"content": body, "headers": BEARER | {"Content-Type": "application/json"}}
    assert_problem(program.post(f"/api/v1/runs/{failed_run}/cancel", **how), status)


@pytest.mark.parametrize("headers", [BEARER, BASIC])
def test_documentation_is_whole_and_asks_no_other_host_when_the_token_is_there(
    program: Program, headers: dict[str, str]
) -> None:
    document = program.get("/openapi.json", headers=headers).json()
    assert {"enrolment.succeeded", "completion.completed", "follow_on.cart_ready"} <= document["webhooks"].keys()
    page = program.get("/docs", headers=headers)
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    for path in (*document["paths"], *document["webhooks"]):
        assert path in page.text
    assert "//" not in "".join(part.partition('"')[0] for part in page.text.split('src="')[1:])


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic wrong", "Basic YW5uOndyb25n", "Basic ÿ"])
def test_documentation_is_closed_when_the_token_is_not_there(program: Program, path: str, header: str) -> None:
    answer = program.get(path, headers={"Authorization": header.encode("latin-1")} if header else {})
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
