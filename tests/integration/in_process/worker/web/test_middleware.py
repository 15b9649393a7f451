from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from structlog.testing import capture_logs

from tests.unit.worker.web.asking import NOW, AppClient, assert_problem
from worker.ledger.session import Ledger
from worker.web.metrics.routes import Metrics
from worker.web.middleware import AnswerMiddleware


@pytest.fixture
def metrics(ledger: Ledger) -> Metrics:
    return Metrics(ledger, clock=lambda: NOW)


@pytest.fixture
def app(metrics: Metrics) -> FastAPI:
    app = FastAPI()
    app.add_middleware(AnswerMiddleware, metrics=metrics)

    @app.get("/broken/{name}")
    def broken(name: str) -> None:
        raise ValueError(name)

    @app.get("/torn")
    def torn() -> StreamingResponse:
        def parts() -> Any:
            yield "half"
            raise ValueError("planted")

        return StreamingResponse(parts())

    @app.get("/page")
    def page() -> PlainTextResponse:
        return PlainTextResponse("x", headers={"Cache-Control": "max-age=60"})

    return app


def observed(metrics: Metrics, **labels: str) -> float | None:
    return metrics.registry.get_sample_value("cartbridge_http_request_duration_seconds_count", labels)


def test_answer_is_500_without_detail_when_a_route_breaks(app: FastAPI, metrics: Metrics) -> None:
    client = AppClient(app)
    with capture_logs() as lines:
        answer = client.get("/broken/planted")
    assert "planted" not in assert_problem(answer, 500)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert lines[0]["error"] == "ValueError"
    assert any("test_middleware.py" in place and "broken" in place for place in lines[0]["at"])
    assert "planted" not in str(lines)
    assert observed(metrics, route="/broken/{name}", method="GET", status="500") == 1
    client.close()


def test_connection_is_cut_when_an_answer_breaks_half_way(app: FastAPI) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/torn",
        "headers": [],
        "query_string": b"",
        "client": None,
    }
    with pytest.raises((ValueError, ExceptionGroup)):
        asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 200
    assert sent[-1].get("more_body") is True


def test_headers_are_the_routes_own_when_it_sets_them(app: FastAPI) -> None:
    client = AppClient(app)
    answer = client.get("/page")
    assert answer.headers["cache-control"] == "max-age=60"
    assert answer.headers["referrer-policy"] == "no-referrer"
    client.close()


def test_made_up_names_make_no_series_when_requests_are_counted(app: FastAPI, metrics: Metrics) -> None:
    client = AppClient(app)
    client.request("PLANTED", "/page")
    client.get("/planted")
    assert observed(metrics, route="/page", method="other", status="405") == 1
    assert observed(metrics, route="other", method="GET", status="404") == 1
    client.close()


def test_other_protocols_pass_when_they_are_not_http(metrics: Metrics) -> None:
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(AnswerMiddleware(app, metrics=metrics)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
