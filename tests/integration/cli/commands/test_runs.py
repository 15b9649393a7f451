from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_attempt, add_event, add_order, add_run, minutes_ago
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, runs


def test_all_runs_are_one_json_array_when_json_is_asked_for(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        ids = [add_run(connection, seat=f"seat-{number}", at=minutes_ago(number)) for number in range(60)]
    result = run("runs", "list", "--json")
    assert result.exit_code == 0
    assert [row["id"] for row in json.loads(result.stdout)] == ids
    assert [row["id"] for row in json.loads(run("runs", "list", "--json", "--limit", "2").stdout)] == ids[:2]
    assert result.stderr == ""


def test_the_array_is_empty_when_nothing_matches(run: Run, ledger: Ledger) -> None:
    assert json.loads(run("runs", "list", "--json").stdout) == []
    assert run("runs", "list").stdout == "No runs.\n"


def test_runs_are_a_table_of_whole_ids_when_listed_for_people(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        waiting = add_run(connection, state="waiting", reason="retrying", next_attempt_at=minutes_ago(-9e6))
        add_run(connection, seat="seat-2", email=None, state="review", reason="unnamed_seat")
        add_attempt(connection, waiting, "add_customer")
    result = run("runs", "list")
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if waiting in line)
    assert line.split()[:4] == [waiting, "waiting", "retrying,", "in"]
    assert "studiocart/1109" in line
    assert "jane@example.com" in line
    assert "unnamed_seat" in result.stdout
    assert result.stderr == ""


def test_it_is_said_that_there_is_more_when_the_table_is_cut(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        for number in range(51):
            add_run(connection, seat=f"seat-{number}")
    result = run("runs", "list")
    assert "the newest 50; there are more" in result.stderr
    assert result.stdout.count("studiocart/1109") == 50
    assert run("runs", "list", "--limit", "51").stderr == ""


def test_runs_are_narrowed_when_options_say_so(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_order(connection, "1110")
        one = add_run(connection, state="failed", reason="refused", at=NOW)
        two = add_run(connection, "1110", email="bo@example.com", state="review", at=minutes_ago(60))

    def found(*options: str) -> list[str]:
        return [row["id"] for row in json.loads(run("runs", "list", "--json", *options).stdout)]

    assert found("--state", "failed", "--state", "review") == [one, two]
    assert found("--state", "failed") == [one]
    assert found("--reason", "refused") == [one]
    assert found("--email", "Bo@Example.com") == [two]
    assert found("--order-id", "1110") == [two]
    assert found("--source", "frontcore") == []
    assert found("--since", "2025-03-04T11:30") == [one]
    assert found("--until", "2025-03-04T11:30Z") == [two]
    assert found("--since", "1h") == []


def test_a_run_is_shown_for_people_and_programs_when_named(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        shown = add_run(
            connection,
            state="review",
            reason="outcome_unprovable",
            note="Orders: 90077",
            lease_holder="host:1",
            lease_until=NOW,
        )
        add_attempt(connection, shown, "add_customer")
        add_attempt(connection, shown, "add_comped_order", outcome=None, finished_at=None, http_status=500)
        add_attempt(connection, shown, "add_comped_order", 2, result_id="9001", kind="lookup", outcome="adopted")
        add_event(connection, "run_review", run_id=shown, reason="outcome_unprovable")
    assert json.loads(run("runs", "show", shown[:8], "--json").stdout)["id"] == shown
    result = run("runs", "show", "studiocart/1109/1107/buyer/501")
    assert result.exit_code == 0
    for text in ("LearningCart may already have made", "add_comped_order", "order 9001", "open", "500", "run_review"):
        assert text in result.stdout
    assert "price 501, groups 12" in result.stdout
    assert "host:1 until 2025-03-04 12:00:00" in result.stdout


def test_a_run_without_steps_or_events_is_shown_when_it_is_a_placeholder(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        shown = add_run(connection, price=None, state="review", reason="unmapped_product")
    result = run("runs", "show", shown)
    assert "No offer" in result.stdout
    assert "Steps" not in result.stdout
    assert "Audit trail" not in result.stdout


def test_the_nearest_is_offered_when_a_run_is_not_there(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        near = add_run(connection)
    result = run("runs", "show", near[:-1] + "!")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"Did you mean {near}?" in result.stderr


def test_a_run_is_resolved_with_its_note_and_order_when_done_by_hand(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        stuck = add_run(connection, state="failed", reason="refused", next_attempt_at=None)
    assert run("runs", "resolve", stuck).exit_code == 2
    assert run("runs", "resolve", stuck, "--note", "  ").exit_code == 2
    dry = run("runs", "resolve", stuck, "--note", "did it", "--dry-run")
    assert (dry.exit_code, "would resolve" in dry.stdout) == (0, True)
    result = run("runs", "resolve", stuck[:9], "--note", "did it", "--order-id", "9001")
    assert (result.exit_code, "done by hand" in result.stdout) == (0, True)
    with ledger.read() as connection:
        row = connection.execute(select(runs).where(runs.c.id == stuck)).one()
        event = connection.execute(select(events).where(events.c.run_id == stuck)).one()
    assert (row.state, row.note, row.result_id) == ("succeeded", "did it", "9001")
    assert (event.actor, event.reason) == ("operator:ann", "did it")
    again = run("runs", "resolve", stuck, "--reason", "again")
    assert (again.exit_code, "cannot be resolved" in again.stderr) == (1, True)


@pytest.mark.parametrize("reason", [(), ("--reason", "a mistake")])
def test_a_run_is_cancelled_when_it_had_no_effect(run: Run, ledger: Ledger, reason: tuple[str, ...]) -> None:
    with ledger.write() as connection:
        add_order(connection)
        planned = add_run(connection)
    dry = run("runs", "cancel", planned, "--dry-run")
    assert (dry.exit_code, "would cancel" in dry.stdout) == (0, True)
    result = run("runs", "cancel", planned, "--yes", *reason)
    assert (result.exit_code, "cancelled" in result.stdout) == (0, True)
    with ledger.read() as connection:
        event = connection.execute(select(events).where(events.c.run_id == planned)).one()
    assert (event.kind, event.reason) == ("run_cancelled", reason[1] if reason else None)
    assert run("runs", "cancel", "nobody").exit_code == 1


@pytest.mark.parametrize("typed", ["abc", "0", "04711", "4711 ", "12345678901234567890", "٤٧١١"])
def test_an_order_id_is_refused_when_it_is_no_number(run: Run, typed: str) -> None:
    result = run("runs", "resolve", "01abc", "--note", "by hand", "--order-id", typed)
    assert result.exit_code == 2
    assert "whole numbers" in result.output


@pytest.mark.parametrize(
    ("command", "expected"),
    [(("runs", "cancel"), "cancelled"), (("runs", "resolve", "--note", "by hand"), "succeeded")],
)
def test_all_runs_of_a_reason_are_settled_when_it_is_named(
    run: Run, ledger: Ledger, command: tuple[str, ...], expected: str
) -> None:
    with ledger.write() as connection:
        add_order(connection)
        anew = [add_run(connection, state="review", reason="read_anew", seat=each) for each in ("buyer", "seat-2")]
        other = add_run(connection, state="review", reason="unmapped_product", seat="seat-3")
    chosen = (*command, "--review-reason", "read_anew")
    assert run(*chosen, anew[0]).exit_code == 2
    assert run(*chosen).exit_code == 2  # nobody to ask
    assert run(*chosen, "--dry-run").stdout.count("would") == 2
    assert run(*chosen, "--yes").exit_code == 0
    with ledger.read() as connection:
        found = {row.id: row.state for row in connection.execute(select(runs.c.id, runs.c.state))}
    assert found == {**dict.fromkeys(anew, expected), other: "review"}
    assert run(*command).exit_code == 2


def test_a_named_run_is_cancelled_only_after_a_yes_when_there_is_a_terminal(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.commands.runs.is_terminal", lambda: True)
    monkeypatch.setattr("worker.cli.confirm.is_terminal", lambda: True)
    with ledger.write() as connection:
        add_order(connection)
        planned = add_run(connection)
    assert run("runs", "cancel", planned, input="n\n").exit_code == 1
    assert json.loads(run("runs", "list", "--json").stdout)[0]["state"] == "pending"
    assert run("runs", "cancel", planned, input="y\n").exit_code == 0
    assert json.loads(run("runs", "list", "--json").stdout)[0]["state"] == "cancelled"


def test_the_filter_is_hinted_at_when_a_note_is_a_reason_s_code(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        stuck = add_run(connection, state="review", reason="read_anew")
    for command in (("replay",), ("runs", "cancel"), ("runs", "resolve")):
        hint = run(*command, stuck, "--reason", "read_anew", "--dry-run").stderr
        assert "--review-reason read_anew" in hint
    assert run("replay", "--reason", "read_anew").exit_code == 2
    assert "--review-reason" not in run("runs", "cancel", stuck, "--reason", "a mistake", "--dry-run").stderr
    assert "--review-reason" not in run("pause", "mail", "--reason", "read_anew", "--dry-run").stderr
    assert [row["id"] for row in json.loads(run("runs", "list", "--review-reason", "read_anew", "--json").stdout)] == [
        stuck
    ]
    for words in ("runs list", "runs resolve --note x", "runs cancel", "replay"):
        misspelled = run(*words.split(), "--review-reason", "read_new")
        assert (misspelled.exit_code, "read_anew" in misspelled.stderr) == (2, True)
    assert run("runs", "list", "--review-reason", "read_anew", "--state", "failed").exit_code == 2


def test_only_failed_tries_are_counted_when_runs_are_listed_for_people(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        flawless, troubled = (add_run(connection, seat=each, state="succeeded") for each in ("buyer", "seat-2"))
        for number, step in enumerate(("add_customer", "add_customer_to_group", "add_comped_order"), 1):
            add_attempt(connection, flawless, step, number=number, outcome="ok")
        for number, outcome in enumerate(("retryable", "retryable", "unknown", "adopted"), 1):
            add_attempt(connection, troubled, "add_comped_order", number=number, outcome=outcome)
    lines = {line.split()[0]: line.split() for line in run("runs", "list").stdout.splitlines() if line.strip()}
    assert ("3" in lines[flawless], "3" in lines[troubled]) == (False, True)
    found = {row["id"]: row for row in json.loads(run("runs", "list", "--json").stdout)}
    assert (found[flawless]["attempts"], found[flawless]["failed_attempts"]) == (3, 0)
    assert (found[troubled]["attempts"], found[troubled]["failed_attempts"]) == (4, 3)
    assert json.loads(run("runs", "show", troubled, "--json").stdout)["failed_attempts"] == 3


def test_a_settled_run_is_in_review_again_when_it_is_reopened(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        stuck = add_run(connection, state="review", reason="read_anew")
    run("runs", "resolve", stuck, "--note", "done")
    assert run("runs", "reopen", stuck).exit_code == 2
    assert "would reopen" in run("runs", "reopen", stuck, "--reason", "was not", "--dry-run").stdout
    result = run("runs", "reopen", stuck[:10], "--reason", "was not")
    assert (result.exit_code, "in review as read_anew" in result.stdout) == (0, True)
    shown = json.loads(run("runs", "show", stuck, "--json").stdout)
    assert (shown["state"], shown["reason"], shown["finished_at"]) == ("review", "read_anew", None)
    assert (shown["events"][-1]["kind"], shown["events"][-1]["reason"]) == ("run_reopened", "was not")
    again = run("runs", "reopen", stuck, "--reason", "twice")
    assert (again.exit_code, "cannot be reopened" in again.stderr) == (1, True)


def test_nothing_that_tells_a_run_from_another_is_cut_when_the_terminal_has_80_columns(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.output.PIPED_WIDTH", 80)
    with ledger.write() as connection:
        add_order(connection)
        reason = "cancelled_after_provisioning"
        run_id = add_run(connection, state="review", reason=reason, email="a.long.address@training-company.example")
    shown = run("runs", "list").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for whole in (run_id, reason, "studiocart/1109"):
        assert whole in shown
    assert "…" not in shown
