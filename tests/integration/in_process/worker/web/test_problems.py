from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from sqlalchemy.exc import DataError, InterfaceError, NoSuchModuleError, OperationalError

from tests.unit.worker.web.asking import AppClient, assert_problem
from worker.web.problems import (
    _answer_http_exception,
    _answer_invalid_request,
    _answer_ledger_unavailable,
    add_problem_handlers,
    describe_ledger_error,
)


def test_http_exception_is_a_problem_when_a_route_raises_it() -> None:
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/gone")
    def gone() -> None:
        raise HTTPException(410, "It was there once.", headers={"X-Kept": "1"})

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418)

    @app.get("/number/{number}")
    def number(number: int) -> None: ...

    client = AppClient(app)
    answer = client.get("/gone")
    assert assert_problem(answer, 410) == "It was there once."
    assert answer.json() == {"type": "about:blank", "title": "Gone", "status": 410, "detail": "It was there once."}
    assert answer.headers["x-kept"] == "1"
    assert_problem(client.get("/teapot"), 418)
    assert assert_problem(client.get("/nowhere"), 404) == "There is nothing at this address."
    assert assert_problem(client.post("/gone"), 405) == "This address does not take this method."
    assert "planted" not in assert_problem(client.get("/number/planted"), 422)
    client.close()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OperationalError("INSERT :x", {"x": "planted"}, OSError("no\nroute")), "OperationalError: OSError: no route"),
        (InterfaceError("INSERT :x", {"x": "planted"}, OSError("closed")), "InterfaceError: OSError: closed"),
        (DataError("INSERT :x", {"x": "planted"}, ValueError("planted")), "DataError: ValueError"),
        (NoSuchModuleError("x"), "NoSuchModuleError"),
    ],
)
def test_ledger_error_is_told_without_values_when_it_is_logged(error: Exception, text: str) -> None:
    assert describe_ledger_error(error) == text


@pytest.mark.parametrize("handler", [_answer_http_exception, _answer_invalid_request, _answer_ledger_unavailable])
def test_error_is_not_swallowed_when_it_is_of_another_kind(handler: Any) -> None:
    with pytest.raises(KeyError):
        asyncio.run(handler(Request({"type": "http"}), KeyError()))
