"""One trace from webhook to comped order, across processes, and no secret or email in any span."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pytest_httpserver import HTTPServer
from sqlalchemy import select
from werkzeug import Request, Response

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from tests.integration.servers import free_port
from worker.ledger.tables.runs import runs
from worker.observability.spans import trace_id_of
from worker.sandbox import Sandbox, SandboxConfig
from worker.settings.settings import load_settings

pytestmark = pytest.mark.integration


class Collector:
    """What an OTLP collector was sent: each span with the process it came from."""

    def __init__(self, server: HTTPServer) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[tuple[str, Any]] = []
        server.expect_request("/v1/traces", method="POST").respond_with_handler(self._take)
        self.url = server.url_for("").rstrip("/")

    def _take(self, request: Request) -> Response:
        body = request.get_data()
        self.bodies.append(body)
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            (process,) = (
                each.value.string_value for each in resource.resource.attributes if each.key == "service.instance.id"
            )
            self.spans += [(process, span) for scope in resource.scope_spans for span in scope.spans]
        return Response(b"", content_type="application/x-protobuf")

    def trace(self, trace_id: int) -> dict[str, set[str]]:
        """The names of a trace's spans by process."""
        found: dict[str, set[str]] = {}
        for process, span in list(self.spans):
            if int.from_bytes(span.trace_id, "big") == trace_id:
                found.setdefault(process, set()).add(span.name)
        return found


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/livez", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_order_is_one_trace_when_web_and_worker_are_processes_apart(
    postgres_url: str, redis_url: str, tmp_path: Path, httpserver: HTTPServer
) -> None:
    collector = Collector(httpserver)
    variables = {
        "CARTBRIDGE_BROKER_URL": redis_url,
        "CARTBRIDGE_TRACING__ENDPOINT": collector.url,
        "CARTBRIDGE_STUDIOCART__POLL_SECONDS": "0",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    port = free_port()
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, postgres_url, tmp_path, **variables) as product,
    ):
        product.sell(1, first_id=7001)
        product.start("worker")
        product.start("web", CARTBRIDGE_WEB__PORT=str(port))
        wait_until(lambda: is_up(port), seconds=ENOUGH_SECONDS, what="web is up")
        reported = requests.post(
            f"http://127.0.0.1:{port}/webhooks/studiocart",
            json={"id": 7001},
            headers={"X-Webhook-Secret": sandbox.config.studiocart.webhook_secret},
            timeout=30,
        )
        product.wait_until_done(1)
        trace_id = trace_id_of(reported.json()["delivery_id"])
        wanted = {"webhook", "ingest", "add_customer", "add_comped_order", "learningcart addCompOrder"}
        wait_until(lambda: wanted <= set().union(*collector.trace(trace_id).values()), seconds=ENOUGH_SECONDS)
        with product.ledger.read() as connection:
            (run,) = connection.execute(select(runs))
        secrets = [run.email, *load_settings(sandbox.environment(), env_file=None).secret_values()]
    by_process = collector.trace(trace_id)
    assert len(by_process) == 2
    assert {"webhook"} in by_process.values()
    everything = b"\n".join(collector.bodies)
    assert [secret for secret in secrets if secret.encode() in everything] == []
