"""Workflows with a ledger and a shop around them: what takes too long to be a unit test."""

from tests.integration.in_process.conftest import ledger
from tests.integration.in_process.workflows.conftest import (
    clock,
    offers_file,
    offers_reader,
    reader,
    shop,
    source,
)

__all__ = ["clock", "ledger", "offers_file", "offers_reader", "reader", "shop", "source"]
