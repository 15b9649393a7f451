"""The files that an undisturbed run enters from its claim to the commit of its success, as `docs/architecture.md` says.

Counted are the stations: the files of the tasks, the workflows and the ledger's runs. The clients, the session, logs,
traces, settings and tables are the floor that they stand on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tasks
from tests.faults.harness.mail_product import making_rigs
from tests.faults.harness.product import ON_SQLITE, Rig
from tests.faults.harness.sales import studiocart_record
from worker.sandbox import Sandbox
from worker.sandbox.mailbox import Mailbox
from workflows.execution.executor import Executor

pytestmark = pytest.mark.faults

ROOT = Path(tasks.__file__).parents[1]
STATIONS = ("tasks/", "workflows/", "worker/ledger/runs/")
MOST_FILES = 8
WITH_PASSWORDS_ALONE = "worker/ledger/runs/run_rows.py"


def stations_entered(work: Callable[[], object]) -> set[str]:
    """The stations that this thread enters from the moment at which a run is claimed."""
    files: set[str] = set()
    claim = Executor.claim.__code__

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (files or frame.f_code is claim):
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    inside = {str(Path(file).relative_to(ROOT)) for file in files if Path(file).is_relative_to(ROOT)}
    return {file for file in inside if file.startswith(STATIONS)}


def described_stations() -> set[str]:
    """The stations that the page lists between the claim and the success."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    listed = page.partition("From the claim of a run to its success")[2].partition("\n## ")[0]
    return set(re.findall(r"^\d+\. `([a-z_/]+\.py)`", listed, re.MULTILINE))


def sell_with_address(rig: Rig) -> str:
    """A run of two groups, for a buyer with an address."""
    rig.settings.offers_file.write_text(
        '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [12, 13] }]\n'
    )
    address = {"address1": "1 Main Street", "city": "Denver", "state": "Colorado", "zip": "80014", "country": "USA"}
    rig.sandbox.studiocart.replace_order(7001, studiocart_record("jane@example.test") | address)
    (run_id,) = rig.ingest(7001)
    return run_id


def test_run_enters_the_files_that_the_documentation_lists_when_nothing_goes_wrong(rig: Rig) -> None:
    run_id = sell_with_address(rig)
    entered = stations_entered(lambda: rig.work(run_id))
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.sandbox.learningcart.groups.keys() == {12, 13}
    assert entered == described_stations() - {WITH_PASSWORDS_ALONE}
    assert len(entered) < MOST_FILES


@ON_SQLITE
def test_run_enters_eight_files_when_its_learner_is_new_and_passwords_are_mailed(
    sandbox: Sandbox, ledger_url: str, tmp_path: Path
) -> None:
    with Mailbox.start() as mailbox, making_rigs(sandbox, ledger_url, tmp_path, mailbox) as make:
        rig = make()
        run_id = sell_with_address(rig)
        entered = stations_entered(lambda: rig.work(run_id))
        assert rig.state(run_id) == ("succeeded", None)
        assert rig.stored_passwords != []
    assert entered == described_stations()
    assert len(entered) <= MOST_FILES
