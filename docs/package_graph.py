#!/usr/bin/env python
"""Draws the packages and what they import into `docs/architecture.md`; `--check` only tells whether it is up to date.

The drawing stands between `<!-- packages -->` and `<!-- end of packages -->`, and is never edited by hand. An arrow
that follows from others is left out: who imports A, which imports B, may import B too.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("architecture.md")
COMMAND = "python docs/package_graph.py"
PRODUCT = ("worker", "workflows", "tasks")
GROUND_FLOOR = "errors, reasons"
"""What the modules that stand in `worker` itself are drawn as."""

_REGION = re.compile(r"(<!-- packages -->\n).*?(<!-- end of packages -->)", re.DOTALL)

Graph = Mapping[str, frozenset[str]]


def modules() -> dict[str, Path]:
    """Every module of the product, by its dotted name."""
    found = {}
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@lru_cache(maxsize=1)
def imports() -> dict[str, frozenset[str]]:
    """What each module of the product imports of it, at its top, inside functions, and for types alone."""
    known = modules()
    return {
        name: frozenset(_imported(ast.parse(path.read_text(encoding="utf-8")), known)) - {name}
        for name, path in known.items()
    }


def _imported(tree: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known:
                    yield full
                elif node.module in known:
                    yield node.module


def circles(graph: Graph) -> list[list[str]]:
    """Every set of modules that reach one another, each sorted."""
    reached = {name: _reachable(graph, name) for name in graph}
    found = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return sorted(list(circle) for circle in found)


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def packages() -> dict[str, frozenset[str]]:
    """What each package imports; a package is drawn down to the second level.

    The modules in `workflows` itself are left out: the registry names every workflow, so that whoever looks a run's
    steps up in it would seem to import all of them.
    """
    found: dict[str, set[str]] = {}
    for name, imported in imports().items():
        package = _package_of(name)
        if package is not None:
            others = {_package_of(each) for each in imported} - {None, package}
            found.setdefault(package, set()).update(other for other in others if other is not None)
    return {package: frozenset(others) for package, others in sorted(found.items())}


def _package_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "tasks":
        return "tasks"
    if len(parts) == 1:
        return None
    is_file = (ROOT / parts[0] / f"{parts[1]}.py").exists()
    if parts[0] == "workflows":
        return None if is_file else f"workflows.{parts[1]}"
    return GROUND_FLOOR if is_file else f"worker.{parts[1]}"


def without_what_follows(graph: Graph) -> dict[str, frozenset[str]]:
    """The graph without the arrows that follow from others."""
    return {
        name: frozenset(
            other for other in others if not any(other in _reachable(graph, each) for each in others if each != other)
        )
        for name, others in graph.items()
    }


def draw() -> str:
    """The packages as a drawing; an arrow means “imports”."""
    graph = without_what_follows(packages())
    names = sorted({*graph, *(other for others in graph.values() for other in others)})
    lines = ["```mermaid", "flowchart TD", *(f'    {_id(name)}["{name}"]' for name in names)]
    for name, others in sorted(graph.items()):
        lines += [f"    {_id(name)} --> {_id(other)}" for other in sorted(others)]
    return "\n".join([*lines, "```", ""])


def _id(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def main(arguments: list[str] | None = None, page: Path = PAGE) -> int:
    """Draw, or tell whether the page is as it would be drawn. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if the page is out of date")
    only_check = parser.parse_args(arguments).check
    before = page.read_text(encoding="utf-8")
    drawn = _REGION.sub(lambda found: f"{found[1]}{draw()}{found[2]}", before)
    if drawn == before:
        return 0
    if only_check:
        sys.stderr.write(f"{page} is out of date. Run: {COMMAND}\n")
        return 1
    page.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
