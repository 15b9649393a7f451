"""Loopback servers that do as they are told, and clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.loopback import Server, connecting, serving
from worker.clients.base import ApiClient


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with serving() as start:
        yield start


@pytest.fixture
def connect() -> Iterator[Callable[..., ApiClient]]:
    with connecting() as make:
        yield make
