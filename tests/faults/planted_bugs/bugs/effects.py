"""Planted bugs around the call that is not safe to repeat: its intent, its outcome, the question before the next."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest, Killed, Simulated

_EXECUTION = "workflows/execution/executor.py"
_RECORDING = "workflows/execution/recorder.py"
_FAILURE = "workflows/execution/retry_policy.py"
_SETTLING = "workflows/execution/settling.py"
_HELD = "worker/ledger/runs/held.py"
_CLAIMS = "worker/ledger/runs/claims.py"
_OUTCOMES = "worker/clients/outcomes.py"

EFFECTS = (
    Bug(
        "last check dropped",
        "A process that was held up sends though its lease has ended, and another has sent meanwhile.",
        _EXECUTION,
        "self._call(held, step, planned, before_send=self._last_check(held, planned))",
        "self._call(held, step, planned)",
        Simulated(),
    ),
    Bug(
        "intent after the call",
        "A worker that dies during the call leaves no word of it, and the next one sends again.",
        _EXECUTION,
        """        self._recorder.commit_intent(held, step, reference)
        try:
            result = planned.definition.call(
                self._call(held, step, planned, before_send=self._last_check(held, planned))
            )
""",
        """        try:
            result = planned.definition.call(
                self._call(held, step, planned, before_send=self._last_check(held, planned))
            )
            self._recorder.commit_intent(held, step, reference)
""",
        Simulated(),
    ),
    Bug(
        "settle time zero",
        "The lookup is made while the request is under way, finds nothing, and the call is sent again.",
        _SETTLING,
        "is_settled = asked.prompt_at is not None and started_at >= asked.prompt_at + settle",
        "is_settled = True",
        ByTest("tests/faults/effects/test_stalls.py::test_one_order_is_made_when_a_second_stall_holds_the_lookup"),
    ),
    Bug(
        "retry on unknown",
        "An unknown outcome is taken for one that may be tried again.",
        _OUTCOMES,
        "return kind(message, retryable=safe_to_repeat, outcome_unknown=not safe_to_repeat, **details)",
        "return kind(message, retryable=True, outcome_unknown=False, **details)",
        Simulated(),
    ),
    Bug(
        "cut connection taken for unsent",
        "A connection that breaks before the answer counts as a request that never left.",
        _OUTCOMES,
        "    if failure.sent:\n",
        '    if failure.sent and failure.kind == "timeout":\n',
        Simulated(),
    ),
    Bug(
        "page for people taken for a refusal",
        "An HTML page of something in between, which came after the effect, ends the run as refused.",
        _OUTCOMES,
        "if not safe_to_repeat and not limits_rates and _is_no_refusal(answer, kind):",
        "if False:",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py"
            "::test_order_is_adopted_when_it_was_made_and_its_answer_was_lost[sqlite-429_page]"
        ),
    ),
    Bug(
        "HTML 200 taken for unsent",
        "A maintenance page that answers 200 after the effect counts as a call that may be tried again.",
        "worker/clients/learningcart/client.py",
        """unexpected(operation, problem, safe_to_repeat=safe_to_repeat, answer=answer)

    def _listed""",
        """unexpected(operation, problem, safe_to_repeat=True, answer=answer)

    def _listed""",
        Simulated(),
    ),
    Bug(
        "refused page renews the token and repeats",
        "A 403 page of something in between, after the effect, is taken for a refused token and the call repeated.",
        "worker/clients/learningcart/refusals.py",
        "is_refusal = is_refusal and (safe_to_repeat or not is_page)",
        "is_refusal = is_refusal and True",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py"
            "::test_order_is_made_once_when_a_page_for_people_hides_that_it_was_made[sqlite-403]"
        ),
    ),
    Bug(
        "unknown outcome not asked about",
        "Only an open call is asked about: after a recorded unknown outcome the call is sent again at once.",
        _HELD,
        "step.spent_unknown = attempt.outcome in {None, Outcome.UNKNOWN}",
        "step.spent_unknown = attempt.outcome is None",
        Simulated(),
    ),
    Bug(
        "second holder knows of no attempts",
        "Whoever takes a run over, or gets it revived, does not know what was tried before, and gets stuck on it.",
        _CLAIMS,
        "    if row.fence > 1:  #",
        "    if row.fence > 2:  #",
        Simulated(),
    ),
    Bug(
        "failed lookup taken for absence",
        "A lookup that got no answer settles the question, and the call is sent again.",
        _HELD,
        "step.unresolved = step.unresolved and attempt.outcome not in {Outcome.ADOPTED, Outcome.ABSENT}",
        "step.unresolved = False",
        Simulated(),
    ),
    Bug(
        "absence without accounting",
        "On a site that keeps no comments an order is taken for absent, though the customer has one nobody knows.",
        _EXECUTION,
        "unaccounted = [result_id for result_id in found.unreferenced if result_id not in known]",
        "unaccounted = [result_id for result_id in found.unreferenced if result_id in known]",
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py::test_run_is_in_review_when_comments_are_not_echoed[sqlite]"
        ),
    ),
    Bug(
        "late answer unseen at the intent",
        "An answer that comes between lookup and intent is not looked for, and a second order is made.",
        _RECORDING,
        """            adopted = self._adopt_late(connection, held, now)
            if not adopted and cancelled""",
        """            adopted = False
            if not adopted and cancelled""",
        ByTest(
            "tests/faults/effects/test_lost_leases.py"
            "::test_late_answer_is_the_effect_when_it_comes_between_lookup_and_intent[sqlite]"
        ),
    ),
    Bug(
        "reference not in the comments",
        "No lookup can find the order again: every lost answer becomes a question to a person.",
        "workflows/enrolment/steps.py",
        'return f"{call.reference} {call.source} order {call.order_id}"',
        'return f"{call.source} {call.source} order {call.order_id}"',
        Killed("answer lost"),
    ),
    Bug(
        "one reference for all generations",
        "Repeated on purpose, the run adopts the order of before instead of its own.",
        "worker/ledger/keys.py",
        r'f"{key}\n{step}\n{generation}"',
        r'f"{key}\n{step}"',
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py"
            "::test_new_reference_is_used_when_an_operator_repeats_on_purpose[sqlite]"
        ),
    ),
    Bug(
        "lookup window too short",
        "Where LearningCart counts in another time zone, its order lies outside the window, and is made again.",
        "workflows/enrolment/steps.py",
        "_ZONE_MARGIN = timedelta(days=1)",
        "_ZONE_MARGIN = timedelta(0)",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py::test_order_is_adopted_when_the_site_is_in_another_time_zone"
        ),
    ),
    Bug(
        "lookups counted as attempts",
        "A destination that does not answer lookups uses up the attempts of a call that was made.",
        "workflows/execution/lookups.py",
        """        step.attempts += 1
        attempt = failed""",
        """        step.attempts += 1
        step.counted += 1
        held.dirty.append(step)
        attempt = failed""",
        ByTest(
            "tests/faults/effects/test_faulty_answers.py"
            "::test_lookup_is_repeated_and_not_counted_when_its_answer_is_broken"
        ),
    ),
    Bug(
        "spent on unknown outcomes is failed",
        "A run whose order may have been made ends as failed, and nobody is asked.",
        _EXECUTION,
        "if step.spent_unknown\n",
        "if not step.spent_unknown\n",
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py"
            "::test_run_is_in_review_and_not_failed_when_the_cap_is_spent_on_unknown_outcomes[sqlite]"
        ),
    ),
    Bug(
        "probe's unknown outcome taken for an outage",
        "The run that probes a destination which is down may have made its order, and sends it again unasked.",
        _FAILURE,
        "    if unknown:\n",
        "    if unknown and not still_down:\n",
        ByTest(
            "tests/faults/outages/test_breaker_probes.py"
            "::test_intent_stays_open_and_is_asked_about_when_a_probe_may_have_made_the_order[sqlite]"
        ),
    ),
    Bug(
        "late answer thrown away",
        "What a holder learns after it lost its run is forgotten: a second order is made, or is nobody's.",
        _RECORDING,
        "            late_results.append(connection, held, step, outcome, result_id, now=self._clock())",
        "            _ = connection",
        ByTest(
            "tests/faults/effects/test_lost_leases.py"
            "::test_double_is_reported_when_a_frozen_process_thaws_after_absence_was_proven[sqlite]"
        ),
    ),
    Bug(
        "duplicate effects not reported",
        "Two orders carry one run's reference, and nobody is told of the second.",
        "workflows/execution/late_results.py",
        "doubled = sorted({*others, *late} - {result_id})",
        "doubled: list[str] = []",
        ByTest(
            "tests/faults/effects/test_unknown_outcomes.py"
            "::test_second_effect_is_reported_when_two_orders_carry_the_reference[sqlite]"
        ),
    ),
    Bug(
        "reconcile does not look for landed effects",
        "An effect that landed after the settle time stays unknown for good.",
        "workflows/reconcile/learningcart_diff.py",
        "is_in_hand = row.state == RunState.RUNNING or row.id in asked_soon",
        "is_in_hand = True",
        Simulated(),
    ),
    Bug(
        "fault of the server's taken for a refusal",
        "WCF answers the comped order with a fault and 400 though it was made: the run has failed, and is replayed.",
        "worker/clients/learningcart/client.py",
        "        if error is not None and (error.retryable or error.outcome_unknown or not is_page(answer)):\n",
        "        if error is not None:\n",
        ByTest(
            "tests/unit/worker/clients/learningcart/test_refusals.py"
            "::test_an_unsafe_call_is_made_once_when_it_fails_otherwise"
        ),
    ),
    Bug(
        "part of a reference taken for it",
        "An order whose comment holds another reference that begins alike is adopted, and nobody gets this one.",
        "worker/ledger/keys.py",
        'cb-[a-z2-7]{20}(?![A-Za-z0-9_-])")',
        'cb-[a-z2-7]{20}")',
        ByTest("tests/unit/worker/ledger/test_keys.py::test_nothing_is_found_when_the_reference_is_not_a_whole_word"),
    ),
    Bug(
        "claimed run given to another learner",
        "A run that was claimed since the plan read it, and whose call is open, is begun anew for another person.",
        "worker/ledger/runs/run_rows.py",
        "    seen = {runs.c.state: state, runs.c.fence: fence}\n",
        "    seen = {runs.c.state: state}\n",
        ByTest(
            "tests/integration/in_process/worker/ledger/runs/test_transitions.py"
            "::test_steps_stay_when_the_run_to_be_changed_was_claimed_meanwhile"
        ),
    ),
)
