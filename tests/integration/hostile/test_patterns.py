"""Every compiled pattern of the product against hostile texts, at the sizes it can meet: none may hold the GIL."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tasks
import worker
import workflows
from tests.integration.hostile.texts import hostile_texts

PACKAGES = (worker, tasks, workflows)
LONGEST_MILLISECONDS = 200.0
"""On the slowest machine. What looks at each letter once for each other one takes seconds."""
SIZE = 16_384
"""What is not cut: a log line, a vendor's page of text, a file of the operator's. Longer ones are read in pieces."""
CAPPED = {
    "worker.clients.reading._BEYOND": 64,
    "worker.clients.reading._US_DATE": 64,
    "worker.clients.reading._WCF_DATE": 64,
    "worker.settings.mail_address._ADDRESS": 254,
}
"""Patterns whose callers look at the text's length first, and how long it may be then."""


def modules() -> Iterator[Any]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def patterns_in(value: object, name: str, depth: int = 0) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The patterns that a value is or holds: by itself, in a collection, or as a class's attribute."""
    if isinstance(value, re.Pattern):
        yield name, value
    elif depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from patterns_in(item, f"{name}[{number}]", depth + 1)
    elif depth < 4 and isinstance(value, dict):
        for key, item in value.items():
            yield from patterns_in(item, f"{name}[{key!r}]", depth + 1)
            yield from patterns_in(key, f"{name} key", depth + 1)
    elif depth == 0 and isinstance(value, type):
        for key, item in vars(value).items():
            yield from patterns_in(item, f"{name}.{key}", depth + 1)


def all_patterns() -> dict[str, re.Pattern[Any]]:
    found: dict[int, tuple[str, re.Pattern[Any]]] = {}
    for module in modules():
        for attribute, value in vars(module).items():
            if isinstance(value, type) and value.__module__ != module.__name__:
                continue
            for name, pattern in patterns_in(value, f"{module.__name__}.{attribute}"):
                found.setdefault(id(pattern), (name, pattern))
    return dict(found.values())


PATTERNS = all_patterns()


@cache
def sources() -> str:
    return "".join(Path(module.__file__).read_text(encoding="utf-8") for module in modules() if module.__file__)


def is_anchored(name: str) -> bool:
    """Whether the product tries a pattern at a text's beginning alone; of two of one name, neither counts as such."""
    attribute = name.rpartition(".")[2]
    uses = set(re.findall(rf"\b{re.escape(attribute)}\.(\w+)\(", sources()))
    return bool(uses) and uses <= {"match", "fullmatch"}


def milliseconds(pattern: re.Pattern[Any], text: Any, *, is_anchored: bool) -> float:
    """The processor's own time for a pattern's two uses; the best of three, as others run meanwhile."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        pattern.fullmatch(text)
        for _ in () if is_anchored else pattern.finditer(text):
            pass
        best = min(best, (time.thread_time() - began) * 1000)
        if best < LONGEST_MILLISECONDS / 2:
            break
    return best


def test_the_patterns_are_found_when_the_product_is_walked() -> None:
    assert {"worker.text.redaction._QUOTED_MEMBER", "worker.clients.reading._FIRST_TAG"} <= PATTERNS.keys()
    assert any(name.startswith("worker.clients.frontcore.client._MEANINGS") for name in PATTERNS)
    assert CAPPED.keys() <= PATTERNS.keys()


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_takes_no_time_when_a_text_is_hostile(name: str) -> None:
    pattern = PATTERNS[name]
    is_of_bytes = isinstance(pattern.pattern, bytes)
    source = pattern.pattern.decode() if is_of_bytes else pattern.pattern
    anchored = is_anchored(name)
    for text in hostile_texts(source, CAPPED.get(name, SIZE)):
        taken = milliseconds(pattern, text.encode() if is_of_bytes else text, is_anchored=anchored)
        assert taken < LONGEST_MILLISECONDS, (name, text[:60], text[-20:], taken)
