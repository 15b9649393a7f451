"""Every capture is the input of a test: one that is added without any fails here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.worker.sources.test_studiocart_captures import WEBHOOKS

TESTS = Path(__file__).parents[3]
CAPTURES = sorted(path for path in (TESTS / "captures").rglob("*.*") if path.suffix in {".json", ".xml", ".html"})


@pytest.fixture(scope="module")
def named() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py") if path != Path(__file__))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_test_reads_it(capture: Path, named: str) -> None:
    assert capture.stem in named or (capture.parent.name == "studiocart" and capture.stem in WEBHOOKS)
