"""The whole web application, asked without a socket: what takes too long to be a unit test."""

from tests.unit.conftest import ledger
from tests.unit.worker.web.conftest import bell, client, client_with, session_app, session_bell

__all__ = ["bell", "client", "client_with", "ledger", "session_app", "session_bell"]
