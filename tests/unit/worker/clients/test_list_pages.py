"""`worker.clients.list_pages`: smaller pages after a page that came too late."""

from __future__ import annotations

import pytest

from worker.clients.list_pages import REMEMBERED_SECONDS, PageSizes, total_of
from worker.errors import (
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    VendorNotice,
)


def test_sizes_become_smaller_step_by_step_and_are_remembered_when_pages_come_too_late() -> None:
    moments = [0.0]
    sizes = PageSizes(clock=lambda: moments[0])
    late = ApiTimeoutError("late")
    assert sizes.largest("list/orders", 100) == 100
    assert [sizes.smaller("list/orders", size, late) for size in (250, 100, 50)] == [100, 50, 25]
    assert sizes.largest("list/orders", 100) == 25
    assert sizes.largest("list/orders", 10) == 10
    assert sizes.largest("list/products", 100) == 100
    moments[0] = REMEMBERED_SECONDS
    assert sizes.largest("list/orders", 100) == 100


def test_sizes_are_forgotten_when_the_smallest_fails_too() -> None:
    sizes = PageSizes()
    assert sizes.smaller("list/orders", 25, ServerError("gateway", status=504)) == 10
    assert sizes.smaller("list/orders", 10, ServerError("gateway", status=504)) is None
    assert sizes.largest("list/orders", 100) == 100


@pytest.mark.parametrize(
    ("error", "is_tried"),
    [
        (ApiTimeoutError("late"), True),
        (ApiTimeoutError("no connection", sent=False), False),
        (ApiConnectionError("cut"), True),
        (ApiConnectionError("refused", sent=False), False),
        (ServerError("500", status=500), True),
        (ServerError("maintenance", status=503, notice=VendorNotice(retry_after_seconds=60)), False),
        (RateLimitedError("429", status=429), False),
        (AuthenticationError("401", status=401), False),
        (UnexpectedResponseError("html", status=200), False),
    ],
)
def test_a_smaller_page_is_asked_for_when_the_size_may_be_at_fault(error: ApiError, is_tried: bool) -> None:
    assert (PageSizes().smaller("list/orders", 100, error) == 50) is is_tried


@pytest.mark.parametrize(
    ("written", "total"), [("0", 0), ("250", 250), ("", None), ("many", None), ("-1", None), ("9" * 30, None)]
)
def test_a_total_is_read_when_the_header_holds_one(written: str, total: int | None) -> None:
    assert total_of({"X-WP-Total": written}) == total
    assert total_of({}) is None
