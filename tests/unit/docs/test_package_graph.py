from __future__ import annotations

from pathlib import Path

import pytest

from docs import package_graph
from docs.package_graph import circles, imports, packages, without_what_follows


def test_page_shows_the_packages_as_they_are() -> None:
    assert package_graph.main(["--check"]) == 0, "run: python docs/package_graph.py"


def test_page_is_drawn_once_and_then_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- packages -->\n<!-- end of packages -->\nAfter.\n", encoding="utf-8")
    assert package_graph.main(["--check"], page) == 1
    assert "Run: python docs/package_graph.py" in capsys.readouterr().err
    assert package_graph.main([], page) == 0
    assert page.read_text(encoding="utf-8").startswith("Before.\n<!-- packages -->\n```mermaid\nflowchart TD\n")
    assert package_graph.main(["--check"], page) == 0


def test_arrow_that_follows_from_others_is_left_out() -> None:
    graph = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset[str]()}
    assert without_what_follows(graph) == {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset()}


def test_circle_is_found_however_long_it_is() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert circles(graph) == [["a", "b", "c"]]


def test_no_module_of_the_product_imports_itself_by_way_of_others() -> None:
    assert circles(imports()) == []


def test_no_package_of_the_product_imports_itself_by_way_of_others() -> None:
    assert circles(packages()) == []
