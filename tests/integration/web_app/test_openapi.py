"""The whole web application against its own OpenAPI document: whatever is sent, it answers as the document says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.unit.worker.web.asking import BEARER, HOOK_SECRET, NOW, RecordingDispatcher, settings_with
from tests.unit.workflows.fakes.storefront import Clock, FakeSource, a_hint_reader, an_order, record
from worker.errors import ConfigurationError
from worker.ledger.session import Ledger
from worker.web.api.routes import OPENAPI_PATH
from worker.web.app import create_app
from worker.web.page.actions.operator import Operator
from workflows.operations.replay import Operations
from workflows.planning.offers_file import OffersFile

CASES_AN_OPERATION = 100
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
HEADERS = {**BEARER, "X-Webhook-Secret": HOOK_SECRET}


class SilentDispatcher(RecordingDispatcher):
    """Wakes nobody."""

    def send_runs(self, run_ids: Sequence[str]) -> bool:
        return False

    def send_sweep(self) -> bool:
        return False


def check_source(source: str) -> None:
    if source != "studiocart":
        raise ConfigurationError("It is not configured.")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('openapi')}/ledger.db")
    ledger.migrate()
    clock, dispatcher = Clock(NOW), SilentDispatcher()
    offers = tmp_path_factory.mktemp("offers") / "offers.toml"
    offers.write_text("")
    reader = a_hint_reader(ledger, FakeSource(clock), OffersFile(offers, ledger), clock)
    operator = Operator(Operations(ledger, reader, check_source=check_source, clock=clock), dispatcher)
    record(ledger, an_order(quantity=2), now=NOW)
    app: FastAPI = create_app(settings_with(), ledger, dispatcher, clock=clock, operator=operator)
    yield schemathesis.openapi.from_asgi(OPENAPI_PATH, app, headers=BEARER)
    ledger.close()


def test_every_operation_answers_as_its_document_says_when_it_is_asked_anything(api: Any) -> None:
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) >= 20
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
