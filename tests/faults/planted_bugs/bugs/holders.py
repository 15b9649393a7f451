"""Planted bugs around holding a run: claims, leases, fencing, lanes, and what becomes of a vanished holder's run."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest, Killed, Simulated

_CLAIMS = "worker/ledger/runs/claims.py"
_TRANSITIONS = "worker/ledger/runs/transitions.py"
_DUE = "worker/ledger/runs/due.py"
_LOST = "tests/faults/effects/test_lost_leases.py"
_COSTS = "tests/faults/effects/test_costs.py"

HOLDERS = (
    Bug(
        "intent not on the disk",
        "A power cut takes the intent of an effect that was sent: after it nobody knows that there may be one.",
        "workflows/execution/recorder.py",
        """            with self._ledger.write(alone=True) as connection:
                write(connection)""",
        """            with self._ledger.write(alone=True, durable=False) as connection:
                write(connection)""",
        ByTest(f"{_COSTS}::test_claim_alone_may_be_lost_with_the_power_when_a_run_commits[sqlite]"),
    ),
    Bug(
        "fencing ignored",
        "Whoever held the run once may write to it, whoever holds it now.",
        "worker/ledger/runs/held.py",
        """    runs.c.fence == bindparam("held_fence"),
    leases.is_held_by(runs, bindparam("held_by", type_=String())),
    runs.c.state == str(RunState.RUNNING),
""",
        """    runs.c.fence >= bindparam("held_fence"),
    runs.c.id != bindparam("held_by", type_=String()),
""",
        ByTest(f"{_LOST}::test_nothing_more_is_sent_when_the_lease_was_lost_during_a_safe_call[add_customer-sqlite]"),
    ),
    Bug(
        "fence not counted up",
        "The next holder takes itself for the first, and gets stuck on what was tried before.",
        _TRANSITIONS,
        "fence=runs.c.fence + 1,",
        "fence=runs.c.fence,",
        Simulated(),
    ),
    Bug(
        "claim before its time",
        "A doubled message is worked on during the settle time: the lookup comes too early.",
        _TRANSITIONS,
        """        is_due(runs, NOW),
        ~exists().where(pauses""",
        """        runs.c.state.in_([RunState.PENDING, RunState.WAITING]),
        ~exists().where(pauses""",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py"
            "::test_settle_time_passes_before_absence_is_proven_when_an_outcome_is_unknown[sqlite]"
        ),
    ),
    Bug(
        "lease shorter than a call",
        "A call may outlast its lease, so that no call can ever be sent.",
        "workflows/execution/executor.py",
        "return min(self.call_seconds[system], self.lease_seconds * _DEADLINE_SHARE_OF_LEASE)",
        "return self.call_seconds[system]",
        ByTest(f"{_LOST}::test_calls_are_shorter_than_the_lease_when_the_lease_is_short[sqlite]"),
    ),
    Bug(
        "recovered before the lease ends",
        "A run is taken from a holder that lives, and two work on it at once.",
        _DUE,
        ".where(runs.c.state == RunState.RUNNING, leases.has_run_out(runs, now))\n        .order_by",
        ".where(runs.c.state == RunState.RUNNING)\n        .order_by",
        ByTest(
            "tests/faults/crash_points/test_killed_workers.py"
            "::test_nobody_touches_the_run_when_its_lease_has_not_ended[sqlite]"
        ),
    ),
    Bug(
        "lane index not unique",
        "Two claims at one moment each see a free lane, and both hold it.",
        "migrations/versions/0001_first_schema.py",
        '        ["lane"],\n        unique=True,\n',
        '        ["lane"],\n        unique=False,\n',
        ByTest(
            "tests/faults/effects/test_lanes.py::test_index_decides_when_two_claims_each_see_the_lane_free[postgresql]"
        ),
    ),
    Bug(
        "orphans not recovered",
        "A run whose worker was killed stays with the dead for ever.",
        _DUE,
        "        .limit(500)\n",
        "        .limit(0)\n",
        Killed("webhook", "committed workflows.execution.executor.claim"),
    ),
    Bug(
        "orphan's open call taken for retryable",
        "The call of a killed worker is sent again without a question.",
        _DUE,
        ".values(outcome=Outcome.UNKNOWN, finished_at=run.lease_until",
        ".values(outcome=Outcome.RETRYABLE, finished_at=run.lease_until",
        Killed("webhook", "sent learningcart addCompOrder"),
    ),
    Bug(
        "orphan not settled",
        "A killed worker's request, sent at the end of its lease, is asked about before it can have landed.",
        _DUE,
        "lane_shut_until = run.lease_until + settle",
        "lane_shut_until = now",
        ByTest(
            "tests/faults/crash_points/test_killed_workers.py"
            "::test_lane_is_shut_from_the_leases_end_and_asking_begins_when_the_holder_vanished[sqlite]"
        ),
    ),
    Bug(
        "lane left out of the claim",
        "Another run of the learner starts while a request of the first may be under way.",
        _TRANSITIONS,
        "        ~lane_is_taken(NOW),\n",
        "",
        ByTest("tests/faults/effects/test_lanes.py::test_lane_stays_shut_when_an_outcome_is_unknown[sqlite-True]"),
    ),
    Bug(
        "lane open during the settle time",
        "After an unknown outcome the learner's next run starts at once.",
        "workflows/execution/retry_policy.py",
        "lane_shut_until=max(settled_at, asked_at)",
        "lane_shut_until=None",
        ByTest("tests/faults/effects/test_lanes.py::test_lane_stays_shut_when_an_outcome_is_unknown[sqlite-True]"),
    ),
    Bug(
        "lane key without lower-casing",
        "One learner, written in two ways, is two lanes, and may become two customers.",
        "worker/text/email_address.py",
        "trimmed_email(email).lower())",
        "trimmed_email(email))",
        ByTest("tests/faults/effects/test_lanes.py::test_lane_is_the_same_when_an_email_is_spelled_otherwise"),
    ),
    Bug(
        "lane key that folds",
        "Two people whose addresses fold alike are one learner: one lane, one profile, forgotten together.",
        "worker/text/email_address.py",
        "trimmed_email(email).lower())",
        "trimmed_email(email).casefold())",
        ByTest("tests/faults/effects/test_lanes.py::test_lanes_and_customers_are_two_when_addresses_merely_fold_alike"),
    ),
    Bug(
        "a lane for each run",
        "Nothing keeps the runs of one learner apart.",
        "worker/ledger/runs/run_rows.py",
        '"lane": run_id if key is None else lanes[key]',
        '"lane": run_id',
        ByTest(
            "tests/faults/effects/test_lanes.py"
            "::test_bundle_is_two_runs_of_one_lane_when_an_offer_has_two_grants[sqlite]"
        ),
    ),
    Bug(
        "outcomes lost at let-go",
        "What the last holder did and found is not written when it lets go: the trail ends in an open question.",
        _CLAIMS,
        "    row = _write(connection, held, statement, values, closing=closing, event=event)\n",
        "    held.outcomes, held.dirty = [], []\n"
        "    row = _write(connection, held, statement, values, closing=closing, event=event)\n",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py"
            "::test_order_is_adopted_when_it_was_made_and_its_answer_was_lost[sqlite-cut]"
        ),
    ),
    Bug(
        "lost messages not sent again",
        "A run whose message was lost is never worked on.",
        _DUE,
        "return or_(table.c.dispatched_at.is_(None), ahead, *waits)",
        "return or_(table.c.dispatched_at.is_(None), ahead)",
        Simulated(),
    ),
)
