"""What became of every run, step and attempt of a ledger, as SQLite itself noted it, and where it left the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby, pairwise
from pathlib import Path

from worker.ledger.states import (
    NEXT_ATTEMPTS,
    RUN_BEGINNINGS,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    AttemptKind,
    Outcome,
    RunState,
    StepState,
)
from workflows.registry import ASKED_STEPS, RISKY_STEPS

OPEN = "open"
Change = tuple[str, str, str | None, str]
"""`run`, `step` or an attempt's kind; the step's name; the state before, None where the row is new; the state after."""
Tried = tuple[AttemptKind, Outcome | None, AttemptKind]
"""An attempt, how it ended, and what was tried next."""

_TRIGGERS = """
CREATE TABLE history (id INTEGER PRIMARY KEY, what TEXT, step TEXT, old TEXT, new TEXT);
CREATE TRIGGER history_run AFTER UPDATE OF state ON runs WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO history (what, step, old, new) VALUES ('run', '', OLD.state, NEW.state); END;
CREATE TRIGGER history_new_run AFTER INSERT ON runs BEGIN
    INSERT INTO history (what, step, old, new) VALUES ('run', '', NULL, NEW.state); END;
CREATE TRIGGER history_step AFTER UPDATE OF state ON steps WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO history (what, step, old, new) VALUES ('step', NEW.name, OLD.state, NEW.state); END;
CREATE TRIGGER history_new_step AFTER INSERT ON steps BEGIN
    INSERT INTO history (what, step, old, new) VALUES ('step', NEW.name, NULL, NEW.state); END;
CREATE TRIGGER history_attempt AFTER UPDATE OF outcome ON attempts WHEN OLD.outcome IS NOT NEW.outcome BEGIN
    INSERT INTO history (what, step, old, new)
    VALUES (NEW.kind, NEW.step, coalesce(OLD.outcome, 'open'), coalesce(NEW.outcome, 'open')); END;
CREATE TRIGGER history_new_attempt AFTER INSERT ON attempts BEGIN
    INSERT INTO history (what, step, old, new) VALUES (NEW.kind, NEW.step, NULL, coalesce(NEW.outcome, 'open')); END;
"""


def observe(ledger: Path) -> None:
    """Let SQLite note every change of a state in this ledger's file from now on, whatever code makes it."""
    with closing(sqlite3.connect(ledger)) as connection:
        connection.executescript(_TRIGGERS)


def changes(eyes: sqlite3.Connection) -> list[Change]:
    """Every change that was noted, in order."""
    return eyes.execute("SELECT what, step, old, new FROM history ORDER BY id").fetchall()


def sequences(eyes: sqlite3.Connection) -> list[Tried]:
    """What followed what, on the steps that are asked about. Deaths are left out: they tell nothing."""
    rows = eyes.execute(
        "SELECT run_id, step, generation, kind, outcome FROM attempts WHERE kind <> 'death' ORDER BY 1, 2, 3, number"
    ).fetchall()
    found: list[Tried] = []
    for _, tried in groupby((row for row in rows if row[1] in ASKED_STEPS), key=lambda row: row[:3]):
        for before, after in pairwise(tried):
            outcome = None if before[4] is None else Outcome(before[4])
            found.append((AttemptKind(before[3]), outcome, AttemptKind(after[3])))
    return found


def strayed(eyes: sqlite3.Connection) -> list[str]:
    """Everything that left the tables, a sentence each; nothing if all went by them."""
    reported = [sentence for change in changes(eyes) for sentence in _strayed_by(*change)]
    for kind, outcome, following in sequences(eyes):
        if outcome is None or following not in NEXT_ATTEMPTS[kind].get(outcome, frozenset()):
            reported.append(f"a {following} followed a {kind} that ended {outcome}")
    return reported


def _strayed_by(what: str, step: str, old: str | None, new: str) -> Iterator[str]:
    if what == "run":
        after_it = RUN_BEGINNINGS if old is None else RUN_TRANSITIONS[RunState(old)].keys()
        is_allowed = RunState(new) in after_it
    elif what == "step":
        states = {StepState.PENDING} if old is None else STEP_TRANSITIONS[StepState(old)].keys()
        is_allowed = StepState(new) in states
    else:
        is_allowed = _may_be_recorded(AttemptKind(what), step, old, new)
    if not is_allowed:
        yield f"a {what} {step} went from {old} to {new}".replace("  ", " ")


def _may_be_recorded(kind: AttemptKind, step: str, old: str | None, new: str) -> bool:
    """An attempt is recorded when it has ended, but for a call not safe to repeat: that is opened, and ended once."""
    is_intent = kind is AttemptKind.CALL and step in RISKY_STEPS
    if new == OPEN:
        return is_intent and old is None
    return Outcome(new) in NEXT_ATTEMPTS[kind] and (old is None or (is_intent and old == OPEN))
