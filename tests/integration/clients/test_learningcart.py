"""The LearningCart client over HTTP, against the sandbox's site: every operation of the vendor's document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.harness.waiting import wait_until
from worker.clients.learningcart.client import LearningCartClient
from worker.clients.learningcart.models import CourseCompletionInfo, CustomerFields
from worker.errors import InvalidRequestError, NotFoundError, RequestRefusedError, ServerError
from worker.sandbox import Fault, Sandbox
from worker.settings.settings import load_settings
from worker.text.redaction import SecretRegistry


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[LearningCartClient]:
    variables = {"CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0"}
    settings = load_settings(sandbox.environment(systems=["learningcart"], **variables), env_file=None)
    client = LearningCartClient(settings.learningcart, secrets=SecretRegistry())
    yield client
    client.close()


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("keys", ["spaced", "joined"])
def test_a_learner_is_enrolled_and_found_again_when_every_call_is_made(
    sandbox: Sandbox, client: LearningCartClient, form: Any, keys: Any
) -> None:
    sandbox.config.learningcart.form, sandbox.config.learningcart.keys = form, keys
    client.ready()
    assert sandbox.requests("learningcart", "requestToken") == 1
    assert client.request_token().expires_at is not None
    customer = client.add_customer(CustomerFields(email="Jane@example.test", first_name="Jane"))
    assert customer.customer_id is not None
    client.add_customer_to_group(customer.customer_id, 12)
    made = client.add_comp_order(customer.customer_id, 501, "cb-1")
    assert made.order_id is not None
    assert client.get_order_by_id(made.order_id).customer_comments == "cb-1"
    now = datetime.now(UTC)
    found = client.get_orders_by_date(now - timedelta(days=2), now + timedelta(days=2))
    assert [order.order_id for order in found] == [made.order_id]
    sandbox.learningcart.add_completion(customer.customer_id, 77, completed_at=now, score=90)
    [completion] = client.get_completions(now - timedelta(days=2), now + timedelta(days=2))
    assert isinstance(completion, CourseCompletionInfo)
    assert (completion.is_completed, completion.score) == (True, 90)
    assert sandbox.learningcart.groups == {12: {customer.customer_id: False}}


def test_refusal_is_told_when_the_site_refuses(client: LearningCartClient) -> None:
    with pytest.raises(NotFoundError):
        client.get_order_by_id(7)
    with pytest.raises(InvalidRequestError):
        client.add_comp_order(424_242, 501)


def test_what_had_queued_is_carried_out_when_a_stall_ends(sandbox: Sandbox, client: LearningCartClient) -> None:
    """Also what its client has given up on, and behind a gateway that answered in the server's stead."""
    customer = client.add_customer(CustomerFields(email="jane@example.test"))
    stall = Fault("learningcart", kind="stall", seconds=2.0, gateway_seconds=0.05, times=None)
    sandbox.inject(stall)
    with pytest.raises(ServerError) as caught:
        client.add_comp_order(customer.customer_id, 501, "cb-1")
    assert (caught.value.status, caught.value.outcome_unknown) == (504, True)
    wait_until(lambda: sandbox.learningcart.orders, seconds=60, what="the queued order")
    now = datetime.now(UTC)
    wait_until(lambda: sandbox.learningcart.orders and not _is_stalled(client, now), seconds=60, what="the stall's end")
    assert len(sandbox.learningcart.orders) == 1


def _is_stalled(client: LearningCartClient, now: datetime) -> bool:
    try:
        client.get_orders_by_date(now - timedelta(days=1), now + timedelta(days=1))
    except ServerError:
        return True
    return False


def test_one_request_is_refused_when_a_firewall_looks_into_it(sandbox: Sandbox, client: LearningCartClient) -> None:
    sandbox.inject(Fault("learningcart", kind="status", status=403, contains="o'b", times=None))
    client.add_customer(CustomerFields(email="jane@example.test", last_name="Doe"))
    with pytest.raises(RequestRefusedError):
        client.add_customer(CustomerFields(email="pat@example.test", last_name="O'Brien"))


def test_a_long_query_is_shortened_to_what_the_site_takes(sandbox: Sandbox, client: LearningCartClient) -> None:
    client.add_customer(CustomerFields(email="jane@example.test", first_name="Jane", address_1="Ø" * 1000))
    (customer,) = sandbox.learningcart.customers
    assert customer.profile["First Name"] == "Jane"
    assert 100 < len(customer.profile["Address 1"]) < 1000
