"""What callers ask, answered from one search and settled by one more command."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_breaker
from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    ONE_OFFER,
    a_line,
    an_order,
    put_run,
    record,
    run_of,
    states,
)
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.sources.order import Payment

SEAT = "1109/1107/buyer/501"
KIM = ("--email", "kim@example.test", "--first", "Kim", "--last", "Lee")


class Caller:
    """A call: a search, and the commands that settle it. More than one is a failure."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.commands = 0

    def why(self, subject: str) -> str:
        """The answer and what to do, of the one search."""
        answer = self._run("why", subject)
        return answer.stdout + answer.stderr

    def settle(self, *arguments: str) -> str:
        self.commands += 1
        done = self._run(*arguments)
        assert done.exit_code == 0, done.stdout + done.stderr
        assert self.commands <= 1, "a call is settled by one command"
        return done.stdout


@pytest.fixture
def call(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offers.toml").write_text(ONE_OFFER)
    monkeypatch.setattr("tasks.dispatch.Dispatcher.send_runs", lambda *_: True)
    monkeypatch.setattr("tasks.dispatch.Dispatcher.send_sweep", lambda *_: True)
    return Caller(run)


def given(ledger: Ledger, *, at: str = SEAT, **values: Any) -> None:
    done = {"finished_at": NOW, "result_id": "90001", "next_attempt_at": None}
    put_run(ledger, at, RunState.SUCCEEDED, **(done | values))


def test_unmapped_is_settled_when_the_offer_was_added(call: Caller, ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, an_order(lines=[a_line("1200")]))
    reported = call.why(JANE.email)
    assert "offer" in reported
    (tmp_path / "offers.toml").write_text(f"{ONE_OFFER}\n{ONE_OFFER.replace('1107', '1200').replace('501', '777')}")
    call.settle("replay", "--review-reason", "unmapped_product", "--yes")
    assert any(state == "pending" for state, _ in states(ledger).values())


@pytest.mark.parametrize(
    ("payment", "words"),
    [(Payment.WAITING, "not paid"), (Payment.REFUNDED, "refunded"), (Payment.CANCELLED, "cancelled")],
)
def test_money_is_named_when_it_is_missing_or_went_back(
    call: Caller, ledger: Ledger, payment: Payment, words: str
) -> None:
    record(ledger, an_order(payment=payment))
    assert words in call.why("1109")


def test_refund_after_access_is_settled_when_it_was_taken_back(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(hours=1))
    assert "refunded" in call.why(JANE.email)
    call.settle("runs", "resolve", f"studiocart/{SEAT}/revoke", "--note", "taken out of the group by hand")
    assert states(ledger)[f"{SEAT}/revoke"][0] == "succeeded"


def test_changed_address_is_settled_when_access_is_given_under_the_new_one(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    run_id = str(run_of(ledger, SEAT).id)
    assert "has access" in call.why(JANE.email)
    call.settle("seats", "name", run_id, *KIM, "--again", "--reason", "she left")
    assert run_of(ledger, SEAT).email == "kim@example.test"


def test_nameless_seat_is_settled_when_somebody_is_named(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order(quantity=2))
    reported = call.why("1109")
    assert "cartbridge seats name" in reported.replace("\n", " ")
    (key,) = (key for key, (_, reason) in states(ledger).items() if reason == "unnamed_seat")
    run_id = run_of(ledger, key).id
    call.settle("seats", "name", str(run_id), *KIM)


def test_pause_is_named_and_ended(call: Caller, run: Run, ledger: Ledger) -> None:
    record(ledger, an_order())
    run("pause", "learningcart", "--reason", "they migrate")
    reported = call.why(JANE.email)
    assert "learningcart is paused by ann: they migrate" in " ".join(reported.split())
    assert "cartbridge resume learningcart" in reported
    assert "resumed learningcart" in call.settle("resume", "learningcart")


def test_outage_is_named_and_asked_again(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    with ledger.write() as connection:
        add_breaker(connection)
    assert "learningcart" in call.why(JANE.email)
    call.settle("resume", "learningcart")


def test_forgotten_person_is_known_to_be_forgotten(call: Caller, run: Run, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    assert run("forget", JANE.email, "--yes").exit_code == 0
    assert "was forgotten on" in call.why(JANE.email)


def test_failure_is_fixed_when_it_is_replayed(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.FAILED, reason="refused", finished_at=NOW, next_attempt_at=None)
    assert "replay" in call.why(JANE.email)
    assert "replayed" in call.settle("replay", str(run_of(ledger, SEAT).id), "--reason", "the group is there now")


def test_all_of_a_kind_are_fixed_at_once(call: Caller, ledger: Ledger) -> None:
    for number in (1109, 1110, 1111):
        record(ledger, an_order(str(number)))
        put_run(
            ledger, f"{number}/1107/buyer/501", RunState.FAILED, reason="refused", finished_at=NOW, next_attempt_at=None
        )
    call.settle("replay", "--state", "failed", "--yes")
    assert {state for state, _ in states(ledger).values()} == {"pending"}


@pytest.mark.parametrize(
    ("settled", "command"),
    [
        (False, ("resolve", "--note", "given by hand")),
        (False, ("cancel", "--reason", "sold by mistake", "--yes")),
        (True, ("reopen", "--reason", "that was another one")),
    ],
)
def test_run_is_settled_by_hand_and_reopened(
    call: Caller, run: Run, ledger: Ledger, settled: bool, command: tuple[str, ...]
) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.REVIEW, reason="older_than_start", next_attempt_at=None)
    run_id = str(run_of(ledger, SEAT).id)
    if settled:
        assert run("runs", "resolve", run_id, "--note", "by phone").exit_code == 0
    call.why(JANE.email)
    verb, *options = command
    call.settle("runs", verb, run_id, *options)


def test_history_is_told_by_the_search_itself(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    reported = call.why(JANE.email)
    for part in ("was placed by", "planned", "has access"):
        assert part in reported
    assert call.commands == 0


def test_half_a_name_is_answered_by_the_search_itself(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    assert "has access" in call.why(JANE.last_name[:2] + JANE.last_name[2:].lower())
    assert "has access" in call.why("109")


def test_month_is_counted_in_one_report(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    (line,) = json.loads(call.settle("report", "--month", f"{NOW:%Y-%m}", "--json"))
    assert (line["source"], line["granted"]) == ("studiocart", 1)


def test_list_goes_to_a_spreadsheet(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    (row,) = csv.DictReader(io.StringIO(call.settle("runs", "list", "--csv")))
    assert row["email"] == JANE.email


def test_who_got_access_last_week_is_one_list(call: Caller, ledger: Ledger) -> None:
    record(ledger, an_order())
    given(ledger)
    record(ledger, an_order("1110"))
    given(ledger, at="1110/1107/buyer/501", created_at=datetime.now(UTC) - timedelta(days=2))
    found = json.loads(call.settle("runs", "list", "--state", "succeeded", "--since", "7d", "--json"))
    assert [(each["email"], each["order_id"]) for each in found] == [(JANE.email, "1110")]


def test_work_is_handed_over_by_a_note(call: Caller, run: Run, ledger: Ledger) -> None:
    record(ledger, an_order())
    call.settle("orders", "note", "1109", "Her employer pays; ask Mr Olsen.")
    assert "ann noted on studiocart/1109: Her employer pays; ask Mr Olsen." in run("why", JANE.email).stdout
