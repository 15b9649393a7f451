from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from tasks.dispatch import Dispatcher
from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_order, add_run, minutes_ago
from worker.cli.commands import replay
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, runs
from workflows.operations.replay import Operations, Replayed
from workflows.planning.offers import OffersError


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was sent to the workers, batch by batch."""
    heard: list[list[str]] = []

    def send(_: Dispatcher, run_ids: Sequence[str]) -> bool:
        heard.append(list(run_ids))
        return True

    monkeypatch.setattr(Dispatcher, "send_runs", send)
    return heard


def states(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        return {row.id: row.state for row in connection.execute(select(runs.c.id, runs.c.state))}


def add_failed(ledger: Ledger, count: int = 1) -> list[str]:
    with ledger.write() as connection:
        add_order(connection)
        return [
            add_run(
                connection,
                seat=f"seat-{number}",
                state="failed",
                reason="refused",
                next_attempt_at=None,
                at=minutes_ago(number),
            )
            for number in range(count)
        ]


def test_named_runs_start_again_and_are_sent_when_replayed(run: Run, ledger: Ledger, sent: list[list[str]]) -> None:
    one, two = add_failed(ledger, 2)
    result = run("replay", one, two[:10], "--reason", "works again")
    assert result.exit_code == 0
    assert f"{one}  replayed\n" in result.stdout
    assert "learningcart addCompOrder price 501" in result.stdout
    assert "2 replayed" in result.stderr
    assert set(states(ledger).values()) == {"pending"}
    assert sent == [[one, two]]
    with ledger.read() as connection:
        event = connection.execute(select(events).where(events.c.run_id == one)).one()
    assert (event.actor, event.reason) == ("operator:ann", "works again")


def test_the_others_start_and_are_told_when_the_offers_file_is_broken(
    run: Run, ledger: Ledger, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended at the first run that needs the file, and told nothing of those that it had started."""
    one, two = add_failed(ledger, 2)
    replay_one = Operations.replay

    def replay_all_but_one(operations: Operations, run_id: str, **how: Any) -> Replayed:
        if run_id == one:
            raise OffersError("offers.toml:1: no price_id")
        return replay_one(operations, run_id, **how)

    monkeypatch.setattr(Operations, "replay", replay_all_but_one)
    result = run("replay", "--state", "failed", "--yes")
    assert (result.exit_code, sent) == (1, [[two]])
    assert "offers.toml:1" in result.stdout
    assert "1 refused, 1 replayed" in result.stderr


def test_nothing_is_changed_or_sent_when_it_is_a_dry_run(run: Run, ledger: Ledger, sent: list[list[str]]) -> None:
    (failed,) = add_failed(ledger)
    for names in ([failed], ["--state", "failed"]):
        result = run("replay", *names, "--dry-run")
        assert result.exit_code == 0
        assert "learningcart addCustomer jane@example.com" in result.stdout
    assert states(ledger) == {failed: "failed"}
    assert sent == []


def test_nothing_is_repeated_when_the_run_has_succeeded(run: Run, ledger: Ledger, sent: list[list[str]]) -> None:
    with ledger.write() as connection:
        add_order(connection)
        done = add_run(connection, state="succeeded")
    result = run("replay", done)
    assert (result.exit_code, "a replay repeats nothing" in result.stdout) == (0, True)
    assert sent == []


def test_the_others_go_on_and_the_exit_code_is_1_when_one_is_not_there(
    run: Run, ledger: Ledger, sent: list[list[str]]
) -> None:
    (failed,) = add_failed(ledger)
    result = run("replay", "nobody", failed)
    assert result.exit_code == 1
    assert "nobody: There is no run" in result.stderr
    assert "1 refused, 1 replayed" in result.stderr
    assert sent == [[failed]]
    as_json = run("replay", "nobody", failed, "--json")
    refused, due = json.loads(as_json.stdout)
    assert (refused["run_id"], refused["result"]) == ("nobody", "refused")
    assert due["run_id"] == failed
    assert as_json.exit_code == 1


def test_the_exit_code_is_1_when_the_run_refuses(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, payment="refunded")
        refunded = add_run(connection, state="cancelled", next_attempt_at=None)
    result = run("replay", refunded)
    assert (result.exit_code, "refused: The order studiocart/1109 is refunded" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("abcd", "--state", "failed"),
        ("abcd", "--again", "--from-step", "add_customer"),
        ("abcd", "--again", "--reason", " "),
        ("abcd", "--replan", "--again", "--reason", "x"),
        ("abcd", "--replan", "--from-step", "add_customer"),
    ],
)
def test_it_is_refused_as_misuse_when_the_options_make_no_sense(
    run: Run, ledger: Ledger, arguments: tuple[str]
) -> None:
    assert run("replay", *arguments).exit_code == 2


def test_an_effect_is_repeated_when_it_is_said_twice_and_why(run: Run, ledger: Ledger, sent: list[list[str]]) -> None:
    with ledger.write() as connection:
        add_order(connection)
        done = add_run(connection, state="succeeded", result_id="9001")
    result = run("replay", done, "--from-step", "add_comped_order", "--again", "--reason", "deleted by mistake")
    assert result.exit_code == 0
    assert states(ledger) == {done: "pending"}
    assert sent == [[done]]


def test_a_bulk_replay_is_not_done_when_there_is_nobody_to_ask(run: Run, ledger: Ledger, sent: list[list[str]]) -> None:
    add_failed(ledger, 25)
    result = run("replay", "--state", "failed")
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert "… and 5 more." in result.stderr
    assert set(states(ledger).values()) == {"failed"}
    assert sent == []


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize(("answer", "exit_code", "after"), [("n\n", 1, "failed"), ("y\n", 0, "pending")])
def test_a_bulk_replay_asks_when_there_is_somebody(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *, answer: str, exit_code: int, after: str
) -> None:
    add_failed(ledger)
    monkeypatch.setattr("worker.cli.confirm.is_terminal", lambda: True)
    result = run("replay", "--state", "failed", input=answer)
    assert "Replay 1 run?" in result.stderr
    assert ("Nothing was changed" in result.stderr) == (after == "failed")
    assert result.exit_code == exit_code
    assert set(states(ledger).values()) == {after}


def test_a_bulk_replay_takes_what_is_stuck_and_rings_in_batches_when_no_state_is_named(
    run: Run, ledger: Ledger, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_SEND_AT_ONCE", 2)
    failed = add_failed(ledger, 3)
    with ledger.write() as connection:
        stored = add_run(connection, seat="done", state="succeeded")
    result = run("replay", "--source", "studiocart", "--since", "2025-03-04", "--yes", "--json")
    assert result.exit_code == 0
    assert [row["run_id"] for row in json.loads(result.stdout)] == failed
    assert sent == [failed[:2], failed[2:]]
    assert states(ledger)[stored] == "succeeded"


def test_there_is_nothing_to_do_when_no_run_matches(run: Run, ledger: Ledger) -> None:
    result = run("replay", "--until", "2020-01-01", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert "No run matches" in result.stderr


def test_the_order_is_planned_again_when_todays_offers_are_wanted(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def planned(_: Operations, run_id: str, **options: Any) -> Replayed:
        asked.append(options)
        return Replayed(run_id, "planned", "planned again", calls=("create x",))

    monkeypatch.setattr(Operations, "replay", planned)
    (failed,) = add_failed(ledger)
    result = run("replay", failed, "--replan")
    assert "  planned again\n" in result.stdout
    assert asked[0]["replan"] is True


def test_results_are_one_table_with_counts_when_a_filter_chose_them(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number in range(3):
            add_order(connection, str(number))
            add_run(connection, str(number), state="failed", reason="refused")
    result = run("replay", "--state", "failed", "--yes")
    assert result.exit_code == 0, result.output
    heading, _, row, *_ = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert heading == ["result", "runs", "what", "such", "as"]
    assert row[:2] == ["replayed", "3"]
    assert "3 replayed" in result.stderr


def test_results_are_one_row_when_what_is_told_of_them_differs_by_the_run_alone(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchanged(_: Operations, run_id: str, **__: Any) -> Replayed:
        return Replayed(run_id, "nothing", f"Add an offer, then `cartbridge replay {run_id}`.")

    monkeypatch.setattr(Operations, "replay", unchanged)
    add_failed(ledger, 3)
    shown = run("replay", "--state", "failed", "--yes").stdout
    assert shown.count("nothing") == 1
    assert "cartbridge replay RUN" in shown
