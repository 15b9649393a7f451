"""A LearningCart without a socket, and each of its methods with a good answer."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.stub import Asked, Reply, StubTransport, answer
from worker.clients.base import ApiClient, CallLimits
from worker.clients.learningcart.client import CustomerFields, LearningCartClient
from worker.errors import (
    ApiError,
)
from worker.settings.systems import LearningCartSettings
from worker.text.redaction import SecretRegistry

PASSWORD = "hunter2-learningcart"
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
ORDER = {"Order ID": 5001, "Customer Comments": "cb-1"}
CUSTOMER = {"Customer ID": 7, "Email": "Jane@Example.test", "isNew": "true", "Password": "made-up-1"}
BEGIN = datetime(2023, 5, 27, 10, 0, tzinfo=timezone(timedelta(hours=2)))
END = datetime(2023, 5, 28, 8, 0, 0, 1, tzinfo=UTC)


def guid(number: int) -> str:
    return f"{number:08d}-d9cb-469f-a165-70867728950e"


SECRET = SecretStr(PASSWORD)


class Access(LearningCartSettings):
    base_url: str | None = "https://cdn.example.test/CDNService.svc"
    site_hostname: str | None = "academy.example.test"
    username: str | None = "api@academy.example.test"
    password: SecretStr | None = SECRET
    requests_per_second: float = 0.0


class Vendor(StubTransport):
    """Answers `requestToken` with the next token (or from `tokens`), and every other method from `replies`."""

    def __init__(self, *replies: Reply, tokens: list[Reply] | None = None) -> None:
        super().__init__(*replies)
        self.tokens = tokens
        self.token_requests: list[Asked] = []
        self.calls: list[Asked] = []

    def send(self, request: Any, exchange: Any) -> Any:
        if not str(request.url).partition("?")[0].endswith("/requestToken"):
            reply = super().send(request, exchange)
            self.calls.append(self.asked[-1])
            return reply
        stored, self.replies = self.replies, [self._token]
        try:
            reply = super().send(request, exchange)
        finally:
            self.replies = stored
        return reply

    def _token(self, asked: Asked) -> Any:
        self.token_requests.append(asked)
        if self.tokens:
            reply = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
            return reply(asked) if callable(reply) else reply
        return answer(
            {
                "d": {
                    "Authentication Token": guid(len(self.token_requests)),
                    "Issue Date": "2023-05-27T08:00:00",
                    "Expiration Date": "2023-05-27T09:00:00",
                }
            }
        )


def client(vendor: Vendor, **options: Any) -> LearningCartClient:
    registry = options.pop("secrets", None) or SecretRegistry()
    access = options.pop("access", Access())
    api = ApiClient("learningcart", base_url=access.base_url, transport=vendor, redact=registry.redact)
    return LearningCartClient(access, api=api, secrets=registry, **options)


Call = Callable[[LearningCartClient, CallLimits], object]
CALLS: dict[str, Call] = {
    "getOrderByID": lambda each, limits: each.get_order_by_id(5001, limits=limits),
    "getOrdersByDate": lambda each, limits: each.get_orders_by_date(BEGIN, END, limits=limits),
    "addCompOrder": lambda each, limits: each.add_comp_order(7, 501, "cb-1", limits=limits),
    "addCustomer": lambda each, limits: each.add_customer(CustomerFields(email="jane@example.test"), limits=limits),
    "addCustomerToGroup": lambda each, limits: each.add_customer_to_group(7, 12, limits=limits),
    "getCompletions": lambda each, limits: each.get_completions(BEGIN, END, limits=limits),
}
GOOD: dict[str, object] = {
    "getOrderByID": ORDER,
    "getOrdersByDate": [ORDER],
    "addCompOrder": ORDER,
    "addCustomer": CUSTOMER,
    "addCustomerToGroup": True,
    "getCompletions": [{"Status": 1, "Customer": CUSTOMER}],
}


def failure(method: str, vendor: Vendor, **limits: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        CALLS[method](client(vendor), CallLimits(**limits))
    error = caught.value
    shown = "".join(traceback.format_exception(error))
    assert PASSWORD not in shown
    assert guid(1) not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    return error
