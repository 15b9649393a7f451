"""The whole web application, asked without a socket: what takes too long to be a unit test."""

from tests.integration.in_process.worker.web.conftest import (
    client,
    client_with,
    dispatcher,
    session_app,
    session_dispatcher,
)
from tests.unit.conftest import ledger

__all__ = ["client", "client_with", "dispatcher", "ledger", "session_app", "session_dispatcher"]
