"""Studiocart's records as its own document shows them."""

from __future__ import annotations

from worker.sandbox.seeds import seed_records

[ORDER] = seed_records("studiocart", "orders")
[ITEM] = ORDER["items"]
[SUBSCRIPTION] = seed_records("studiocart", "subscriptions")
[PRODUCT] = seed_records("studiocart", "products")
CUSTOMER = seed_records("studiocart", "customers")[0]
