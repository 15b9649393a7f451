"""`worker.settings.env_file`: what is written reads back as it was, and what stood there stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from worker.settings.env_file import line_of, private_mode, with_values, write_whole
from worker.settings.settings import load_settings

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" '\"\\$#`"), min_size=1)


@given(PRINTABLE)
def test_value_reads_back_as_it_was_when_written(value: str) -> None:
    path = Path(".env")
    path.write_text(f"# one\n{line_of('CARTBRIDGE_WEB__API_TOKEN', value)}\n", encoding="utf-8")
    token = load_settings({}, path).web.api_token
    assert token is not None
    assert token.get_secret_value() == value


@pytest.mark.parametrize(
    "before", ["", "# mine\n", "A=1", "export B='x' # why\n\nA=1\nA=2\nC=\n", "D_FILE=/x\r\nA=1\r\n"]
)
def test_everything_else_stays_when_values_are_set(before: str) -> None:
    after = with_values(before, {"A": "new one", "D": "d"}, {"A": "What A is.", "D": "What D is."})
    Path("before.env").write_text(before, encoding="utf-8")
    Path("after.env").write_text(after, encoding="utf-8")
    given_by_file = "D_FILE" in before
    expected = dotenv_values("before.env") | {"A": "new one"} | ({} if given_by_file else {"D": "d"})
    assert dotenv_values("after.env") == expected
    assert all(line in after for line in before.split("\n") if "A=" not in line)


def test_file_is_whole_and_private_when_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write_whole(path, "A=1\n", mode=private_mode(path))
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("A=1\n", 0o600)
    path.chmod(0o644)
    assert private_mode(path) == 0o600
    path.chmod(0o640)
    assert private_mode(path) == 0o640, "a service's file is its group's on purpose"
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "B=\ud800", mode=0o600)
    assert ([each.name for each in tmp_path.iterdir()], path.read_text()) == ([".env"], "A=1\n")
