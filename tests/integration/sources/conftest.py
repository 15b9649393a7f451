"""Workflows with a ledger and a shop around them: what takes too long to be a unit test."""

from tests.integration.in_process.conftest import ledger
from tests.integration.in_process.workflows.conftest import book, clock, hints, offers_file, shop, source

__all__ = ["book", "clock", "hints", "ledger", "offers_file", "shop", "source"]
