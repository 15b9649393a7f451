"""Folders and files stay small enough to be read: of the product, and of its tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_FILES = 16
MOST_LINES = 400
LARGER_FOLDERS = {"worker/web/page/templates"}
"""Those that hold more files still. None is added; what is mended is taken out."""


def files() -> Iterator[Path]:
    for package in ("worker", "workflows", "tasks", "tests"):
        for path in sorted((ROOT / package).rglob("*")):
            place = path.relative_to(ROOT)
            is_data = place.parts[:2] == ("tests", "captures")
            if path.is_file() and path.suffix != ".pyc" and not is_data:
                yield place


def test_no_folder_holds_more_files_than_a_reader_can_hold() -> None:
    counts = Counter(str(place.parent) for place in files() if place.name != "__init__.py")
    assert {folder for folder, count in counts.items() if count > MOST_FILES} - LARGER_FOLDERS == set()


def test_no_file_is_longer_than_a_reader_reads_at_once() -> None:
    long = {
        str(place)
        for place in files()
        if place.suffix == ".py" and len((ROOT / place).read_text(encoding="utf-8").splitlines()) > MOST_LINES
    }
    assert long == set()
