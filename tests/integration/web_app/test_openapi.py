"""The whole web application against its own OpenAPI document: whatever is sent, it answers as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.unit.worker.web.asking import BEARER, HOOK_SECRET, NOW, RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.web.api.routes import OPENAPI_PATH
from worker.web.app import create_app

CASES_AN_OPERATION = 100
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
HEADERS = {**BEARER, "X-Webhook-Secret": HOOK_SECRET}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('openapi')}/ledger.db")
    ledger.migrate()
    app: FastAPI = create_app(settings_with(), ledger, RecordingDispatcher(), clock=_now)
    yield schemathesis.openapi.from_asgi(OPENAPI_PATH, app, headers=BEARER)
    ledger.close()


def _now() -> datetime:
    return NOW


def test_every_operation_answers_as_its_document_says_when_it_is_asked_anything(api: Any) -> None:
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:

        @settings(
            max_examples=CASES_AN_OPERATION,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.validate_response(case.call(headers=HEADERS), checks=CHECKS)

        ask()
