from __future__ import annotations

from pathlib import Path

import pytest

from worker.cli.check.warnings import file_warnings
from worker.settings.settings import load_settings


@pytest.mark.parametrize(
    ("mode", "verb"),
    [(0o600, ""), (0o640, ""), (0o644, "can be read"), (0o604, "can be read"), (0o602, "can be changed")],
)
def test_files_are_told_when_others_may_use_them(tmp_path: Path, mode: int, verb: str) -> None:
    env_file, secret, offers = tmp_path / ".env", tmp_path / "token", tmp_path / "offers.toml"
    ledger = tmp_path / "ledger.db"
    env_file.write_text(f"CARTBRIDGE_DATABASE_URL=sqlite:///{ledger}\nCARTBRIDGE_WEB__API_TOKEN_FILE={secret}\n")
    (tmp_path / "backup").mkdir()
    copies = [tmp_path / "monday.db", tmp_path / "backup" / "tuesday.dump"]
    files = [env_file, secret, tmp_path / "erasures.jsonl", ledger, tmp_path / "ledger.db-wal", *copies]
    for path in [*files[1:], offers]:
        path.write_text("planted-token")
    copies[0].write_bytes(b"SQLite format 3\0planted")
    copies[1].write_bytes(b"PGDMPplanted")
    for path in files:
        path.chmod(mode)
    offers.chmod(0o666)
    reported = file_warnings(load_settings({}, env_file), env_file, {})
    assert [sentence.partition(" can ")[0] for sentence in reported] == ([str(path) for path in files] if verb else [])
    assert all(verb in sentence and "chmod o-rwx" in sentence for sentence in reported)
    assert "planted" not in str(reported)
