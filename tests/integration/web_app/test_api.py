from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Connection, insert, update
from structlog.testing import capture_logs

from tests.unit.worker.ledger.rows import add_attempt, add_bare_run, add_order
from tests.unit.worker.web.asking import (
    API_TOKEN,
    BEARER,
    NOW,
    AppClient,
    ClientMaker,
    RecordingDispatcher,
    assert_problem,
    settings_with,
)
from worker.ledger.events import record_event
from worker.ledger.follow_on.completions import add_completion, list_completions
from worker.ledger.orders.operator_entries import add_note
from worker.ledger.orders.order_rows import insert_delivery
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, Via
from worker.ledger.tables.runs import (
    breakers,
    cursors,
    deliveries,
    events,
    order_versions,
    orders,
    pauses,
    runs,
    steps,
)
from worker.ledger.views import details, listing, overview
from worker.ledger.views.serializers import to_json
from worker.ledger.web import operators
from worker.web.app import create_app

EMAIL = "ada+x@learner.example"
PATHS = [
    *("runs", "runs/x", "orders", "orders/studiocart/1", "deliveries", "deliveries/x", "completions", "status"),
    *("activity", "operators", "offers/unmapped", "why?subject=x"),
]
"""Of every route one address."""


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Two orders, three runs (one of them tried), and five deliveries."""
    with ledger.write() as connection:
        buyer = {"buyer_email": EMAIL, "buyer_email_key": EMAIL, "buyer_name": "Ada"}
        for number in (1109, 1110):
            at = NOW + timedelta(seconds=number)
            add_order(
                connection,
                str(number),
                NOW,
                **buyer,
                document={"lines": [{"id": "1107"}]},
                created_at=None,
                updated_at=at,
            )
        for number, state in enumerate(["succeeded", "review", "waiting"]):
            add_bare_run(
                connection,
                f"run{number}",
                NOW,
                key=f"studiocart/1109/1107/buyer/{number}",
                state=state,
                reason="unnamed_seat" if state == "review" else None,
                title="",
                email=EMAIL,
                email_key=EMAIL,
                created_at=NOW + timedelta(seconds=number),
            )
        step = {"position": 0, "name": "add_customer", "state": "done", "counted": 1}
        connection.execute(insert(steps).values(run_id="run0", **step))
        add_attempt(connection, "run0", "add_customer", at=NOW, holder="w", finished_at=None)
        connection.execute(insert(events).values(at=NOW, kind="run_planned", actor="source", run_id="run0", detail={}))
        connection.execute(insert(cursors).values(source="studiocart", position={}, failures=0, last_success_at=NOW))
        for number in range(5):
            insert_delivery(
                connection,
                source="studiocart",
                order_id=str(1107 + number),
                via=Via.WEBHOOK,
                actor="source",
                now=NOW + timedelta(seconds=number),
                state=DeliveryState.PLANNED,
            )
    return ledger


def ask(client: AppClient, path: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", headers=BEARER, params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_api_is_closed_when_no_token_is_set(client_with: ClientMaker) -> None:
    client = client_with(web={"api_token": None})
    for path in PATHS:
        with capture_logs() as lines:
            answer = client.get(f"/api/v1/{path}", headers=BEARER)
        assert "CARTBRIDGE_WEB__API_TOKEN" in assert_problem(answer, 401)
        assert "CARTBRIDGE_WEB__API_TOKEN" in str(lines)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("presented", [None, "Bearer", "Bearer wrong", "Bearer \xe9", "Basic cGxhbnRlZC1hcGk="])
def test_api_is_401_when_the_token_is_another(client: AppClient, presented: str | None) -> None:
    headers = {} if presented is None else {"Authorization": presented.encode()}
    for path in PATHS:
        answer = client.get(f"/api/v1/{path}?limit=x", headers=headers)
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_api_is_closed_when_the_token_is_of_spaces(client_with: ClientMaker) -> None:
    client = client_with(web={"api_token": SecretStr("  ")})
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        assert_problem(client.get("/api/v1/status", headers=header), 401)


def test_token_is_accepted_when_it_is_not_ascii(client_with: ClientMaker, ledger: Ledger) -> None:
    client = client_with(web={"api_token": SecretStr("schlüssel")})
    headers: Any = {"Authorization": "bearer schlüssel".encode()}
    assert client.get("/api/v1/runs", headers=headers).status_code == 200


def test_stranger_is_429_when_it_keeps_failing(client: AppClient, ledger: Ledger) -> None:
    for _ in range(30):
        assert_problem(client.get("/api/v1/runs"), 401)
    answer = client.get("/api/v1/runs")
    assert_problem(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1
    # The right token is not looked at either: that it is right is all that a guess wants to know.
    assert_problem(client.get("/api/v1/runs", headers=BEARER), 429)


@pytest.mark.parametrize("length", [0, 1, len(API_TOKEN) - 1])
def test_prefix_of_the_token_is_refused(client: AppClient, ledger: Ledger, length: int) -> None:
    headers = {"Authorization": f"Bearer {API_TOKEN[:length]}"}
    assert_problem(client.get("/api/v1/runs", headers=headers), 401)


def test_address_is_locked_out_in_every_process_when_it_guesses(client_with: ClientMaker, ledger: Ledger) -> None:
    first, second = client_with(), client_with()
    for number in range(30):
        assert_problem((first if number % 2 else second).get("/api/v1/runs"), 401)
    assert_problem(first.get("/api/v1/runs"), 429)
    assert_problem(second.get("/api/v1/runs"), 429)
    assert_problem(client_with().get("/api/v1/runs", headers=BEARER), 429)


def test_listings_are_the_command_lines_when_they_are_read(client: AppClient, filled: Ledger) -> None:
    with filled.read() as connection:
        assert ask(client, "runs") == to_json(list(listing.list_runs(connection)))
        assert ask(client, "orders") == to_json(list(listing.list_orders(connection)))
        assert ask(client, "deliveries") == to_json(list(listing.list_deliveries(connection)))
        assert ask(client, "runs/run0") == to_json(details.show_run(connection, "run0"))
        order = details.show_order(connection, "studiocart", "1109")
        assert ask(client, "orders/studiocart/1109") == to_json(order)
        status = to_json(overview.status(connection, NOW, webhook_sources=["studiocart"]))
        assert ask(client, "status") == status | {"offers_problem": ask(client, "status")["offers_problem"]}
        assert "offers.toml" in ask(client, "status")["offers_problem"]
        delivery_id = next(listing.list_deliveries(connection)).id
        delivery = details.show_delivery(connection, delivery_id)
        assert ask(client, f"deliveries/{delivery_id}") == to_json(delivery)


def test_completions_are_listed_filtered_and_paged_when_there_are_some(client: AppClient, ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number in range(3):
            values = {
                "customer_id": "5001",
                "state": "began",
                "email": EMAIL,
                "name": "Ada",
                "course_name": "First aid",
            }
            course = {"key": f"5001/{number}/-", "course_id": str(number)}
            add_completion(connection, values | course, now=NOW + timedelta(seconds=number))
        shown = to_json(list(list_completions(connection)))
    assert ask(client, "completions") == shown
    assert [page[0]["course_id"] for page in pages(client, "/api/v1/completions?limit=1")] == ["2", "1", "0"]
    assert len(ask(client, "completions", email=EMAIL.upper(), course_id="1")) == 1
    assert ask(client, "completions", until=NOW.isoformat()) == []
    for query in ("limit=0", "source=studiocart", "after=planted"):
        assert_problem(client.get(f"/api/v1/completions?{query}", headers=BEARER), 422)


def test_what_is_sent_is_what_the_schema_describes_when_every_route_is_read(client: AppClient, filled: Ledger) -> None:
    with filled.write() as connection:
        fill_every_list(connection)
    assert isinstance(client.app, FastAPI)
    document = client.app.openapi()
    paths = {
        path: each["get"] for path, each in document["paths"].items() if path.startswith("/api/v1/") and "get" in each
    }
    parts = {
        "run_id": "run0",
        "source": "studiocart",
        "order_id": "1109",
        "delivery_id": ask(client, "deliveries")[0]["id"],
    }
    assert len(paths) == 12
    for path, operation in paths.items():
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        asked = {"subject": "studiocart/1109"} if path.endswith("/why") else {}
        sent = ask(client, path.format(**parts).removeprefix("/api/v1/"), **asked)
        assert sent
        assert list(undescribed(document, schema, sent, path)) == []


def fill_every_list(connection: Connection) -> None:
    """A row for every list of the status, a completion, and an order with a line, a seat and a version."""
    completion = {"customer_id": "5001", "state": "began", "email": EMAIL, "name": "Ada", "course_name": "First aid"}
    add_completion(connection, completion | {"key": "5001/1/-", "course_id": "1"}, now=NOW)
    for name in ("learningcart:completions", "studiocart:catalog"):
        connection.execute(insert(cursors).values(source=name, position={}, failures=1, last_error="no answer"))
    pause = {"kind": "operator", "reason": "moving", "actor": "operator:Ann", "since": NOW}
    connection.execute(insert(pauses).values(system="threedcart", **pause))
    times = {"opened_at": NOW, "probe_at": NOW}
    breaker = {"state": "open", "allowance": 0, "failures": 5, "last_error": "no answer", **times}
    connection.execute(insert(breakers).values(system="learningcart", failing_run_ids=[], **breaker))
    connection.execute(update(runs).where(runs.c.id == "run2").values(state="failed", reason="refused"))
    connection.execute(update(runs).where(runs.c.id == "run1").values(line_id="1107", reason="unmapped_product"))
    record_event(connection, at=NOW, kind="login", actor="operator:Ann", detail={"client": "192.0.2.7"})
    operators.add(connection, "Ann", password_hash="", added_by="operator:root", now=NOW)
    add_note(connection, "studiocart", "1109", "Her employer pays.", actor="operator:Ann", now=NOW)
    connection.execute(update(deliveries).where(deliveries.c.order_id == "1107").values(state="review"))
    seat = {"id": "buyer", "learner": {"email": EMAIL}}
    line = {"id": "1107", "product": {"product_id": "1107"}, "seats": [seat]}
    ours = (orders.c.source == "studiocart", orders.c.order_id == "1109")
    connection.execute(
        update(orders).where(*ours).values(document={"lines": [line]}, total_minor_units=4900, currency="USD")
    )
    version = {"number": 1, "content_hash": "x", "raw": {}, "seen_at": NOW}
    connection.execute(insert(order_versions).values(source="studiocart", order_id="1109", **version))
    event = {"at": NOW, "kind": "order_planned", "actor": "source", "detail": {}}
    connection.execute(insert(events).values(source="studiocart", order_id="1109", **event))


def undescribed(document: dict[str, Any], schema: dict[str, Any], sent: Any, where: str) -> Iterator[str]:
    """Members that are sent and not described, or described and not sent, however deep."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema and sent is not None:
        (schema,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        yield from undescribed(document, schema, sent, where)
    elif isinstance(sent, list):
        for each in sent:
            yield from undescribed(document, schema["items"], each, f"{where}[]")
    elif isinstance(sent, dict) and "properties" in schema:
        described = schema["properties"]
        yield from (f"{where}.{name}" for name in described.keys() ^ sent.keys())
        yield from (f"{where}.{name} may be left out" for name in described.keys() - set(schema["required"]))
        for name in described.keys() & sent.keys():
            yield from undescribed(document, described[name], sent[name], f"{where}.{name}")
    elif isinstance(sent, dict) and not schema.get("additionalProperties"):
        # What a step, an event or a cursor holds differs from one to the next.
        yield f"{where} is not described"


def test_listing_is_filtered_when_it_is_asked_to(client: AppClient, filled: Ledger) -> None:
    asked: list[tuple[str, dict[str, Any], int]] = [
        ("runs", {"state": "review"}, 1),
        ("runs", {"state": ["review", "waiting"]}, 2),
        ("runs", {"reason": "unnamed_seat"}, 1),
        ("runs", {"email": EMAIL.upper(), "source": "studiocart", "order_id": "1109"}, 3),
        ("runs", {"source": "frontcore"}, 0),
        ("runs", {"since": (NOW + timedelta(seconds=1)).isoformat()}, 2),
        ("runs", {"until": "2026-03-04T05:06:08"}, 1),
        ("orders", {"state": "planned", "email": EMAIL}, 2),
        ("orders", {"state": "waiting"}, 0),
        ("deliveries", {"via": "webhook", "state": "planned"}, 5),
        ("deliveries", {"order_id": "1108"}, 1),
        ("deliveries", {"via": "poll"}, 0),
    ]
    for path, parameters, count in asked:
        assert len(ask(client, path, **parameters)) == count, (path, parameters)


def pages(client: AppClient, path: str) -> Iterator[list[Any]]:
    while True:
        answer = client.get(path, headers=BEARER)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        link = re.fullmatch(r'<(\?[^>]+)>; rel="next"', answer.headers.get("link", ""))
        if link is None:
            return
        path = path.partition("?")[0] + link[1]


@pytest.mark.parametrize(("path", "total"), [("runs", 3), ("orders", 2), ("deliveries", 5)])
def test_every_row_comes_once_when_pages_are_followed(client: AppClient, filled: Ledger, path: str, total: int) -> None:
    for limit in (1, 2, 5, 500):
        found = list(pages(client, f"/api/v1/{path}?limit={limit}"))
        assert [row for page in found for row in page] == ask(client, path)
        assert sum(len(page) for page in found) == total
        assert all(len(page) == limit for page in found[:-1])
        assert found[-1]


def test_filters_stay_when_pages_are_followed(client: AppClient, filled: Ledger) -> None:
    email = EMAIL.replace("+", "%2B")
    path = f"/api/v1/runs?limit=1&state=review&state=succeeded&email={email}&since=2020-01-01"
    assert [[row["state"] for row in page] for page in pages(client, path)] == [["review"], ["succeeded"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=planted",
        "state=planted",
        "source=planted",
        "since=planted",
        "planted=1",
        "after=planted",
        "after=%00",
        "email=planted%00",
    ],
)
def test_listing_is_422_when_a_parameter_is_wrong(client: AppClient, ledger: Ledger, query: str) -> None:
    for path in ("runs", "orders", "deliveries"):
        answer = client.get(f"/api/v1/{path}?{query}", headers=BEARER)
        assert assert_problem(answer, 422)
        assert "planted" not in answer.text


@pytest.mark.parametrize(
    "path", ["runs/planted", "orders/planted/1", "orders/studiocart/planted", "deliveries/planted"]
)
def test_detail_is_404_when_the_ledger_does_not_hold_it(client: AppClient, path: str, ledger: Ledger) -> None:
    answer = client.get(f"/api/v1/{path}", headers=BEARER)
    assert_problem(answer, 404)
    assert "planted" not in answer.text


def test_detail_is_422_when_its_id_holds_a_nul(client: AppClient, ledger: Ledger) -> None:
    assert_problem(client.get("/api/v1/runs/%00", headers=BEARER), 422)


def test_api_is_503_when_the_ledger_cannot_be_read(tmp_path: Path, dispatcher: RecordingDispatcher) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}")
    client = AppClient(create_app(settings_with(), ledger, dispatcher, clock=lambda: NOW))
    for path in PATHS:
        answer = client.get(f"/api/v1/{path}", headers=BEARER)
        assert_problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
    client.close()
    ledger.close()
