from __future__ import annotations

from pathlib import Path

import pytest

from docs import reasons_table


def test_page_has_every_reason_as_the_code_has_it() -> None:
    assert reasons_table.main(["--check"]) == 0, "run: python docs/reasons_table.py"


def test_page_is_written_when_a_sentence_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "reasons.md"
    before = reasons_table.PAGE.read_text(encoding="utf-8").replace("names nobody", "names no one")
    page.write_text(before, encoding="utf-8")
    assert reasons_table.main(["--check"], page) == 1
    assert "Run: python docs/reasons_table.py" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == before
    assert reasons_table.main([], page) == 0
    assert page.read_text(encoding="utf-8") == reasons_table.PAGE.read_text(encoding="utf-8")
