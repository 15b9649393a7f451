"""The vendors' own sample records, as their documents print them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


def seed_records(system: str, collection: str) -> list[dict[str, Any]]:
    """Return fresh copies of the sample records of a system's collection (`studiocart`, `orders`); may be empty."""
    records: list[dict[str, Any]] = json.loads(_seed_text()).get(system, {}).get(collection, [])
    return records


@cache
def _seed_text() -> str:
    return files("worker.sandbox").joinpath("seeds.json").read_text(encoding="utf-8")
