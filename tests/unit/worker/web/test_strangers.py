from __future__ import annotations

from datetime import timedelta

import pytest
from freezegun import freeze_time
from starlette.requests import Request

from worker.web.strangers import FAILURES_PER_MINUTE, Strangers, address_of


def request_from(client: tuple[str, int] | None) -> Request:
    return Request({"type": "http", "client": client, "headers": []})


def test_address_is_asked_to_wait_when_it_failed_too_often() -> None:
    with freeze_time("2026-03-04 05:06:07") as frozen:
        strangers = Strangers()
        assert [strangers.count_failure("a") for _ in range(FAILURES_PER_MINUTE)] == [None] * FAILURES_PER_MINUTE
        assert strangers.count_failure("a") == 60
        assert strangers.count_failure("b") is None
        frozen.tick(timedelta(seconds=59.5))
        assert strangers.count_failure("a") == 1
        frozen.tick(timedelta(seconds=1))
        assert strangers.count_failure("a") is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("localhost", "localhost"),
    ],
)
def test_address_is_the_clients_or_its_network_when_it_is_ipv6(host: str, address: str) -> None:
    assert address_of(request_from((host, 1))) == address


def test_address_is_empty_when_there_is_none() -> None:
    assert address_of(request_from(None)) == ""
