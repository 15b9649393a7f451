"""What the documentation and the docstrings name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("*.md")))
_PATH = re.compile(r"(?<![\w/.:-])(?:worker|workflows|tasks|tests|docs|deploy|benchmarks|migrations)/[\w./-]*\w")
_MODULE = re.compile(r"`((?:worker|workflows|tasks)(?:\.\w+)+)`")


def is_there(dotted: str) -> bool:
    """Whether a name of the product leads to a module, or to something that a module's text defines."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        if path.with_suffix(".py").is_file():
            defined = path.with_suffix(".py").read_text(encoding="utf-8")
            return all(re.search(rf"\b{name}\b", defined) for name in parts[count:])
        if path.is_dir():
            names = (path / "__init__.py").read_text(encoding="utf-8")
            return all(re.search(rf"\b{name}\b", names) for name in parts[count:])
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_path_exists_when_a_page_names_it(page: Path) -> None:
    named = {
        path.removesuffix(".").removesuffix("/NAME") for path in _PATH.findall(page.read_text(encoding="utf-8"))
    } - {"worker/sources/NAME.py"}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_module_exists_when_a_docstring_or_a_page_names_it() -> None:
    missing = {}
    sources = [path for package in ("worker", "workflows", "tasks") for path in (ROOT / package).rglob("*.py")]
    for path in (*PAGES, *sources):
        named = set(_MODULE.findall(path.read_text(encoding="utf-8")))
        if gone := sorted(name for name in named if not is_there(name)):
            missing[str(path.relative_to(ROOT))] = gone
    assert missing == {}
