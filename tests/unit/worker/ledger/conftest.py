"""The same ledger that the workflows' tests have."""

from __future__ import annotations

from tests.unit.workflows.conftest import ledger, session_ledger

__all__ = ["ledger", "session_ledger"]
