"""The ledger's tables are SQLModel's models, which an ORM session can use where somebody wants one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]
# In a process of its own: what is mapped stays mapped.
_USE = """
from sqlalchemy import create_engine
from sqlalchemy.orm.exc import UnmappedClassError
from sqlmodel import Session, select
from worker.ledger.session import Ledger
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import Pause
from datetime import UTC, datetime

try:
    select(Pause)
except UnmappedClassError:
    print("not mapped")
Ledger(URL).migrate()
engine = create_engine(URL)
LedgerModel.prepare(engine)
with Session(engine) as session:
    session.add(Pause(system="learningcart", kind="operator", reason="", actor="ann", since=datetime.now(UTC)))
    session.commit()
    print(session.exec(select(Pause)).one().system)
"""


def test_a_model_is_mapped_when_somebody_asks_for_it(tmp_path: Path) -> None:
    code = f"URL = 'sqlite:///{tmp_path / 'ledger.db'}'\n{_USE}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["not mapped", "learningcart"], done.stderr
