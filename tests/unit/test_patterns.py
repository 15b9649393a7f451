"""Every compiled pattern of the product has a name, so that the test against hostile texts finds it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tasks
import worker
import workflows

ROOT = Path(worker.__file__).parents[1]
MADE_WHEN_CALLED = {"worker/text/personal_text.py", "worker/text/redaction.py", "worker/ledger/learners/mentions.py"}
"""Files that make a pattern of texts they are given: of escaped literals alone."""


def uses_of_re(node: ast.AST, *, in_function: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Which functions of `re` are called, on which line, and whether at each call of something."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
            owner = child.func.value
            if isinstance(owner, ast.Name) and owner.id == "re":
                yield child.func.attr, child.lineno, in_function
        elif isinstance(child, ast.ImportFrom) and child.module == "re":
            yield "import from", child.lineno, in_function
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from uses_of_re(child, in_function=in_function or is_function)


def test_every_pattern_has_a_name_when_it_is_compiled() -> None:
    offending = []
    for package in (worker, tasks, workflows):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            relative = str(path.relative_to(ROOT))
            if "import re\n" in source or "from re " in source:
                offending += [
                    f"{relative}:{line} re.{use}"
                    for use, line, in_function in uses_of_re(ast.parse(source))
                    if use != "escape" and (use != "compile" or (in_function and relative not in MADE_WHEN_CALLED))
                ]
    assert offending == []
