"""An app on an empty ledger, asked without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from fastapi import FastAPI

from tests.unit.session_ledger import SessionLedger
from tests.unit.worker.web.asking import NOW, AppClient, ClientMaker, RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.web.app import create_app

addresses = count(1)
"""Whom the next client is to be for the limit on failures, which is counted by address."""


@pytest.fixture(scope="session")
def session_dispatcher() -> RecordingDispatcher:
    return RecordingDispatcher()


@pytest.fixture
def dispatcher(session_dispatcher: RecordingDispatcher) -> RecordingDispatcher:
    session_dispatcher.sent.clear()
    session_dispatcher.polled.clear()
    session_dispatcher.is_there = True
    return session_dispatcher


@pytest.fixture(scope="session")
def session_app(session_ledger: SessionLedger, session_dispatcher: RecordingDispatcher) -> FastAPI:
    """The app that nothing was changed in: making one takes longer than asking it."""
    return create_app(settings_with(), session_ledger.ledger, session_dispatcher, clock=lambda: NOW)


@pytest.fixture
def client_with(ledger: Ledger, dispatcher: RecordingDispatcher) -> Iterator[ClientMaker]:
    """Makes a client of an app whose settings are changed."""
    opened: list[AppClient] = []

    def make(**changes: dict[str, Any]) -> AppClient:
        opened.append(AppClient(create_app(settings_with(**changes), ledger, dispatcher, clock=lambda: NOW)))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(session_app: FastAPI, ledger: Ledger, dispatcher: RecordingDispatcher) -> Iterator[AppClient]:
    """A client, of an address of its own, of an app that has counted other tests' requests."""
    client = AppClient(session_app, f"2001:db8:0:{next(addresses):x}::7")
    yield client
    client.close()
