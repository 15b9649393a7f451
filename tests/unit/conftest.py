"""Unit tests open no network socket and no ledger: what they test is given its answers, or belongs in `integration`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket

# A crowded machine is slow; that is no fault of what is tested.
settings.register_profile("crowded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crowded")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Close the network before the first fixture; pytest-socket opens it again when the test is over."""
    # Unix sockets stay: an asyncio event loop wakes itself through a pair of them.
    disable_socket(allow_unix_socket=True)
