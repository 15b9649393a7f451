"""A 3dcart store on loopback, and the client and the source on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import CartFields
from worker.sandbox import Sandbox
from worker.settings.settings import Settings, load_settings
from worker.sources.source import Page
from worker.sources.threedcart import ThreedcartSource

CAPTURES = Path(__file__).parents[2] / "captures" / "threedcart"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL_TOKEN = "planted-url-token-of-thirty-two-characters"
HOOK_SECRET = "planted-hook-secret"
OFFERS = """
[[offer]]
source = "threedcart"
sku = "FIRST-AID-101"
grants = [{ price_id = 701, group_ids = [30] }]
"""
FIELDS = CartFields(billing_first_name="Jane", billing_email="jane@example.test", shipment_city="Bergen")


def settings_of(sandbox: Sandbox, **overrides: str) -> Settings:
    """Settings as an operator would write them."""
    variables = {"REQUESTS_PER_SECOND": "0", "ORDERS_ENABLED": "true"} | overrides
    named = {f"CARTBRIDGE_THREEDCART__{name}": value for name, value in variables.items()}
    return load_settings(sandbox.environment(systems=["threedcart"], **named), env_file=None)


def source_of(client: ThreedcartClient, settings: Settings) -> ThreedcartSource:
    return ThreedcartSource(client, zone=settings.threedcart.zone, clock=lambda: NOW)


def ids_of(pages: Iterator[Page]) -> list[str]:
    return [order.id for page in pages for order in page.orders]


def a_sale(**changes: Any) -> dict[str, Any]:
    item = {"CatalogID": 1234, "ItemID": "FIRST-AID-101", "ItemQuantity": 1.0, "ItemUnitPrice": 25.0}
    return {"OrderStatusID": 4, "BillingEmail": "jane@example.test", "OrderItemList": [item]} | changes
