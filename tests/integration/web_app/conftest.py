"""The whole web application, asked without a socket: what takes too long to be a unit test."""

from tests.unit.conftest import ledger
from tests.unit.worker.web.conftest import client, client_with, dispatcher, session_app, session_dispatcher

__all__ = ["client", "client_with", "dispatcher", "ledger", "session_app", "session_dispatcher"]
