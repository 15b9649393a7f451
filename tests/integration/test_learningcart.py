"""The LearningCart client over HTTP, against the sandbox's site: every operation of the vendor's document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.clients.learningcart import LearningCartClient
from worker.clients.learningcart_models import CourseCompletionInfo, CustomerFields
from worker.errors import InvalidRequestError, NotFoundError
from worker.redaction import SecretBook
from worker.sandbox import Sandbox
from worker.settings import load_settings


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[LearningCartClient]:
    variables = {"CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0"}
    settings = load_settings(sandbox.environment(systems=["learningcart"], **variables), env_file=None)
    client = LearningCartClient(settings.learningcart, secrets=SecretBook())
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
