"""Planted bugs around what a stalled server, an unreadable record and a single refused request may mean."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest

_SETTLING = "workflows/execution/settling.py"
_SINGLE = "tests/faults/effects/test_single_requests.py::test_"

STALLS = (
    Bug(
        "settle time counted from the failure",
        "A stalled server carries out what had queued after the lookup proved its absence: two orders.",
        "worker/ledger/runs/held.py",
        """        if step.spent_unknown:
            step.asked = Asked()
""",
        """        if step.spent_unknown:
            step.asked = Asked(prompt_at=attempt.finished_at)
""",
        ByTest(
            "tests/faults/effects/test_stalls.py"
            "::test_settle_time_counts_from_the_first_prompt_answer_when_the_queue_is_worked_off_slowly"
        ),
    ),
    Bug(
        "slow answer taken for proof",
        "An answer that itself sat in the stall, and so was given before what had queued, proves absence.",
        _SETTLING,
        "    return is_settled and answer_seconds <= PROMPT_ANSWER_SECONDS\n",
        "    return is_settled\n",
        ByTest("tests/faults/effects/test_stalls.py::test_one_order_is_made_when_a_second_stall_holds_the_lookup"),
    ),
    Bug(
        "slow answer begins the settle time",
        "An answer that sat in the stall is taken for the sign that it is over.",
        "worker/ledger/runs/held.py",
        "is_prompt = attempt.answer_seconds is not None and attempt.answer_seconds <= PROMPT_ANSWER_SECONDS",
        "is_prompt = attempt.answer_seconds is not None",
        ByTest("tests/faults/effects/test_stalls.py::test_settle_time_does_not_begin_when_an_answer_is_slow"),
    ),
    Bug(
        "one request's refusal pauses the system",
        "A firewall stops one learner's name, and everybody else waits.",
        "worker/clients/learningcart/client.py",
        "return None if error is not None else False",
        "return True",
        ByTest(
            "tests/faults/outages/test_refused_credentials.py::"
            "test_one_learner_is_in_review_and_the_others_go_on_when_a_firewall_stops_her_name[sqlite-word]"
        ),
    ),
    Bug(
        "unreadable record taken for absence",
        "The one order of the list that cannot be read was ours, and is made again.",
        "workflows/execution/executor.py",
        "if unaccounted or found.unreadable:",
        "if unaccounted:",
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py"
            "::test_run_is_in_review_when_a_record_cannot_be_read[order without an id-sqlite]"
        ),
    ),
    Bug(
        "one run's failures open the breaker",
        "Three learners whose names the server cannot take have it called down for all.",
        "worker/ledger/runs/breaker.py",
        "if is_own and self.state is not BreakerState.OPEN:",
        "if False:",
        ByTest(
            "tests/faults/effects/test_single_requests.py"
            "::test_runs_that_looked_like_an_outage_end_when_others_are_answered_later[sqlite]"
        ),
    ),
    Bug(
        "unreadable record hides a match",
        "One row of the list cannot be read, and so the order that carries the reference is not seen.",
        "worker/clients/learningcart/client.py",
        "        rows = [row if isinstance(row, dict) else {} for row in ",
        "        rows = [row for row in ",
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py"
            "::test_order_is_adopted_when_other_records_cannot_be_read[null_row-sqlite]"
        ),
    ),
    Bug(
        "another's unreadable record prevents proof",
        "One order of another customer that cannot be read makes every lost answer a question to a person.",
        "workflows/enrolment/steps.py",
        "    return not email or email_key(email) == email_key(call.learner.email)\n",
        "    return True\n",
        ByTest(
            "tests/integration/in_process/workflows/execution/test_settling.py::"
            "test_absence_is_proven_when_what_cannot_be_read_is_not_this_customers"
        ),
    ),
    Bug(
        "lookup that fails for a day asked for ever",
        "Nothing answers the lookup, nobody else calls, and the run whose order may exist is settling for good.",
        _SETTLING,
        "    if is_spent or now - (asked.since or started_at) >= LONGEST_ASKING:\n",
        "    if is_spent:\n",
        ByTest(f"{_SINGLE}a_person_is_asked_when_lookups_fail_for_a_day_and_nobody_else_calls"),
    ),
    Bug(
        "lookup that is slow for a day asked for ever",
        "The server answers, too slowly to prove anything, and the run whose order may exist is settling for good.",
        _SETTLING,
        "    if not is_prompt and now - (asked.since or started_at) >= LONGEST_ASKING:\n",
        "    if not is_prompt and asked.since is None and patience.max_attempts < 1:\n",
        ByTest(
            "tests/integration/in_process/workflows/execution/test_settling.py::"
            "test_a_person_is_asked_when_no_lookup_has_a_prompt_answer_for_a_day"
        ),
    ),
    Bug(
        "stalled server asked seldom",
        "The run waits for its retry's whole backoff instead of asking every minute, and its order is late by hours.",
        "workflows/execution/retry_policy.py",
        "        return min(PROBE_SECONDS, self.max_seconds)\n",
        "        return max(PROBE_SECONDS, self.max_seconds)\n",
        ByTest("tests/faults/effects/test_stalls.py::test_run_asks_at_least_every_minute_when_the_server_stalls"),
    ),
)
