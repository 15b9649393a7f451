"""Workflows with a ledger and a shop around them: what takes too long to be a unit test."""

from tests.integration.in_process.conftest import ledger
from tests.integration.in_process.workflows.conftest import (
    clock,
    delivery_reader,
    offers_file,
    offers_reader,
    shop,
    source,
)

__all__ = ["clock", "delivery_reader", "ledger", "offers_file", "offers_reader", "shop", "source"]
