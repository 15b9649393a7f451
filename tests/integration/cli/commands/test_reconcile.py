from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.dispatch import Dispatcher
from tests.integration.cli.conftest import Run
from worker.cli import confirm
from worker.ledger.session import Ledger
from workflows.reconcile.findings import Cause, Finding, Kind, unchecked
from workflows.reconcile.reconciler import Reconciled, Reconciler

SAFE = Finding(
    Kind.MISSING,
    Cause.ORDER_NOT_INGESTED,
    "Order studiocart/1109 was never ingested.",
    "cartbridge ingest studiocart 1109",
    source="studiocart",
    order_id="1109",
    is_safe_to_fix=True,
)
QUESTION = Finding(
    Kind.DUPLICATE, Cause.HANDMADE_TWIN, "Is one too many?", "cartbridge runs show r1", effect_ids=("90001", "90002")
)


class FakeReconciler:
    """What is found, and what was done about it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.since: list[datetime] = []
        self.done: list[tuple[str | None, ...]] = []


@pytest.fixture
def reconciler(monkeypatch: pytest.MonkeyPatch) -> FakeReconciler:
    reported = FakeReconciler()

    def find(_: Reconciler, since: datetime) -> Reconciled:
        reported.since.append(since)
        return Reconciled(since, datetime.now(UTC), list(reported.findings))

    def fix(_: Reconciler, found: Reconciled, *, actor: str, reason: str | None = None) -> None:
        reported.done.append(("fix", actor, reason))
        found.findings = [
            each.with_result("ingested: planned", is_settled=True) if each.is_safe_to_fix else each
            for each in found.findings
        ]
        found.ready.append("r9")

    def keep(_: Reconciler, found: Reconciled, *, actor: str, reason: str | None = None) -> None:
        reported.done.append(("keep", actor, reason))

    def send(_: Dispatcher, run_ids: Sequence[str]) -> bool:
        reported.done.append(("send", *run_ids, None))
        return True

    for name, act in (("find", find), ("fix", fix), ("keep", keep)):
        monkeypatch.setattr(Reconciler, name, act)
    monkeypatch.setattr(Dispatcher, "send_runs", send)
    return reported


def test_it_is_said_when_the_books_agree(run: Run, ledger: Ledger, reconciler: FakeReconciler) -> None:
    result = run("reconcile")
    assert (result.exit_code, "The books agree" in result.stdout) == (0, True)
    assert reconciler.done == [("keep", "operator:ann", None)]
    assert timedelta(days=6.9) < datetime.now(UTC) - reconciler.since[0] < timedelta(days=7.1)


def test_each_finding_comes_with_its_command_when_the_books_differ(
    run: Run, ledger: Ledger, reconciler: FakeReconciler
) -> None:
    reconciler.findings = [SAFE, QUESTION, unchecked("LearningCart is paused.")]
    result = run("reconcile", "--since", "2d", "--reason", "look")
    assert result.exit_code == 1
    assert "3 findings" in result.stdout
    for text in (SAFE.sentence, SAFE.command, QUESTION.command, "LearningCart is paused.", "cartbridge check"):
        assert text in result.stdout
    assert reconciler.done == [("keep", "operator:ann", "look")]


def test_one_object_is_printed_when_json_is_asked_for(run: Run, ledger: Ledger, reconciler: FakeReconciler) -> None:
    reconciler.findings = [SAFE, QUESTION]
    result = run("reconcile", "--since", "2d", "--json")
    reported: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (1, "")
    assert (reported["counts"], reported["remaining"]) == ({"duplicate": 1, "missing": 1}, 2)
    assert reported["findings"][0] == {
        "kind": "missing",
        "cause": "order_not_ingested",
        "sentence": SAFE.sentence,
        "command": SAFE.command,
        "source": "studiocart",
        "order_id": "1109",
        "run_id": None,
        "learningcart_order_ids": [],
        "reference": None,
        "fixable": True,
        "done": None,
        "settled": False,
    }
    assert reported["findings"][1]["learningcart_order_ids"] == ["90001", "90002"]


def test_what_is_safe_is_settled_when_the_operator_says_yes(
    run: Run, ledger: Ledger, reconciler: FakeReconciler
) -> None:
    reconciler.findings = [SAFE]
    result = run("reconcile", "--fix", "--yes", "--reason", "night")
    assert result.exit_code == 0
    assert "ingested: planned" in result.stdout
    assert SAFE.command not in result.stdout
    assert "1 settled, 0 left." in result.stderr
    assert reconciler.done == [
        ("fix", "operator:ann", "night"),
        ("send", "r9", None),
        ("keep", "operator:ann", "night"),
    ]
    reconciler.findings = [SAFE, QUESTION]
    assert run("reconcile", "--fix", "--yes").exit_code == 1


def test_the_operator_decides_when_he_has_seen_the_findings(
    run: Run, ledger: Ledger, reconciler: FakeReconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler.findings = [SAFE]
    nobody = run("reconcile", "--fix")
    assert (nobody.exit_code, reconciler.since) == (2, [])
    monkeypatch.setattr(confirm, "is_terminal", lambda: True)
    refused = run("reconcile", "--fix", input="n\n")
    assert (refused.exit_code, SAFE.sentence in refused.stderr, reconciler.done) == (1, True, [])
    agreed = run("reconcile", "--fix", input="y\n")
    assert (agreed.exit_code, len(reconciler.done)) == (0, 3)
    reconciler.findings = [QUESTION]
    assert run("reconcile", "--fix").exit_code == 1  # nothing to ask about


def test_nothing_is_written_when_it_is_a_dry_run(run: Run, ledger: Ledger, reconciler: FakeReconciler) -> None:
    reconciler.findings = [SAFE, QUESTION]
    result = run("reconcile", "--fix", "--dry-run")
    assert (result.exit_code, reconciler.done) == (1, [])
    assert f"would settle: {SAFE.sentence}" in result.stdout
    assert f"would settle: {QUESTION.sentence}" not in result.stdout


def test_it_is_misuse_when_the_window_is_not_in_the_past(run: Run, ledger: Ledger, reconciler: FakeReconciler) -> None:
    assert run("reconcile", "--since", "2999-01-01").exit_code == 2


def test_what_is_off_is_said_so_when_nothing_is_configured(run: Run, ledger: Ledger) -> None:
    result = run("reconcile", "--json")
    assert result.exit_code == 1
    assert {each["cause"] for each in json.loads(result.stdout)["findings"]} == {"not_checked"}
