"""The product's functions are short, and take few parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 60
MOST_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for package in ("worker", "workflows", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, Function):
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def parameters(function: Function) -> list[ast.arg]:
    taken = function.args
    found = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return found[1:] if found and found[0].arg in {"self", "cls"} else found


def is_command(function: Function) -> bool:
    """A command's parameters are its arguments and options: Typer reads them from the signature."""
    taken = parameters(function)
    return bool(taken) and taken[0].annotation is not None and ast.unparse(taken[0].annotation) == "typer.Context"


def test_no_function_is_longer_than_a_screen() -> None:
    long = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    assert {place: lines for place, lines in long.items() if lines > MOST_LINES} == {}


def test_no_function_takes_more_parameters_than_a_reader_can_hold() -> None:
    many = {place: len(parameters(node)) for place, node in functions() if not is_command(node)}
    assert {place: count for place, count in many.items() if count > MOST_PARAMETERS} == {}
