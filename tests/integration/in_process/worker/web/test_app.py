from __future__ import annotations

import pytest

from tests.unit.worker.web.asking import BEARER, AppClient, assert_problem


@pytest.mark.parametrize("path", ["/redoc", "/webhooks", "/webhooks/studiocart/", "/api/v1"])
def test_address_is_404_when_nothing_is_there(client: AppClient, path: str) -> None:
    answer = client.get(path)
    assert assert_problem(answer, 404) == "There is nothing at this address."
    assert path not in answer.text


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/nowhere", "/api/v1/runs", "/api/v1/openapi.json"])
def test_answer_has_security_headers_when_it_is_anything(client: AppClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_openapi_is_closed_when_the_token_is_missing(client: AppClient) -> None:
    assert_problem(client.get("/api/v1/openapi.json"), 401)


def test_openapi_describes_the_api_alone_when_it_is_read(client: AppClient) -> None:
    document = client.get("/api/v1/openapi.json", headers=BEARER).json()
    assert sorted(document["paths"]) == [
        "/api/v1/activity",
        "/api/v1/completions",
        "/api/v1/deliveries",
        "/api/v1/deliveries/{delivery_id}",
        "/api/v1/offers/unmapped",
        "/api/v1/operators",
        "/api/v1/orders",
        "/api/v1/orders/{source}/{order_id}",
        "/api/v1/runs",
        "/api/v1/runs/{run_id}",
        "/api/v1/status",
        "/api/v1/why",
    ]
    operation = document["paths"]["/api/v1/runs"]["get"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        *("state", "source", "reason", "email", "order_id", "since", "until", "limit", "after")
    }
    assert set(operation["responses"]) >= {"200", "401", "422", "429", "503"}
