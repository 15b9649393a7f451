"""The whole web application, asked without a socket: what takes too long to be a unit test."""

from tests.integration.in_process.conftest import ledger
from tests.integration.in_process.worker.web.conftest import (
    client,
    client_with,
    dispatcher,
    session_app,
    session_dispatcher,
)

__all__ = ["client", "client_with", "dispatcher", "ledger", "session_app", "session_dispatcher"]
