"""Planted bugs against the rulings on what vendors really send: identity, the start, lists, offers, refusals."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest, Simulated

_LINES = "worker/sources/studiocart_lines.py"
_AGE = "workflows/planning/order_age.py"
_SETTLING = "workflows/execution/settling.py"
_LISTS = "tests/integration/clients/test_unpageable_lists.py::test_"
_READ = "tests/unit/worker/sources/test_studiocart_captures.py::test_"
_SINGLE = "tests/faults/effects/test_single_requests.py::test_"

RULINGS = (
    Bug(
        "line known by its name",
        "A bump that is renamed after the sale is another line, and gets a second comped order by its new name.",
        _LINES,
        "        line_id = product_id or by_name.get(_folded(name))\n",
        "        line_id = by_name.get(_folded(name))\n",
        ByTest(f"{_READ}lines_are_known_by_the_ids_of_their_products"),
    ),
    Bug(
        "name that comes back is believed",
        "A bump that an old webhook showed under its old name once more gets a second comped order by its new one.",
        "workflows/planning/planner.py",
        "        if self.line_keys.may_be_lost(line) and all(run.is_withdrawn for run in fixed):\n",
        "        if not fixed:\n",
        ByTest(
            "tests/faults/effects/test_studiocart_rulings.py"
            "::test_renamed_bump_is_a_question_when_nothing_but_names_tells_it_apart"
        ),
    ),
    Bug(
        "priced field taken for seats",
        "A price for something about the course becomes nameless seats, and questions that nobody can answer.",
        _LINES,
        '_NO_SEAT = frozenset({"line item"})',
        '_NO_SEAT = frozenset({"no item"})',
        Simulated(),
    ),
    Bug(
        "trial given before its subscription is read",
        "An order that begins a trial is taken for a purchase while no list shows its subscription.",
        "worker/sources/studiocart.py",
        "        trial=not record.order_amount and any(has_trial(item) for item in items),",
        "        trial=False,",
        ByTest(f"{_READ}trial_is_told_by_its_own_order_and_a_declined_card_pays_for_nothing"),
    ),
    Bug(
        "renewal given where the offer ignores it",
        "Every payment of a subscription gives access once more.",
        "workflows/planning/required_runs.py",
        '    if order.renewal and rule.renewals == "ignore" and not is_other:\n        return Reason.RENEWAL_IGNORED\n',
        '    rule = rule.model_copy(update={"renewals": "grant"})\n',
        Simulated(),
    ),
    Bug(
        "dates alone decide",
        "An order that a gateway's event shifts to before the start is a question, or is lost.",
        _AGE,
        "REDATED_BY_AT_MOST = timedelta(hours=48)",
        "REDATED_BY_AT_MOST = timedelta(hours=0)",
        ByTest("tests/unit/workflows/planning/test_order_age.py::test_age_goes_by_id_and_date"),
    ),
    Bug(
        "imported order given",
        "Old orders that come again under new ids give access to people who had it long ago.",
        _AGE,
        "            return Age.CONTRADICTED if is_imported else Age.NEW\n",
        "            return Age.NEW\n",
        Simulated(),
    ),
    Bug(
        "paid order of before the start given",
        "What was handled by hand before Cartbridge came is given a second time.",
        _AGE,
        "        return StartDecision.HOLD if is_question else StartDecision.IGNORE\n",
        "        return StartDecision.HOLD if is_question else StartDecision.PLAN\n",
        Simulated(),
    ),
    Bug(
        "unlisted status given",
        "A participant's status that nobody has ruled on gives access.",
        "worker/sources/frontcore_seats.py",
        """("unknown_status", f"Nobody has ruled on it: {'; '.join(unknown)}.") if unknown else (None, "")""",
        '(None, "")',
        ByTest(
            "tests/unit/worker/sources/test_frontcore_seats.py::"
            "test_a_seat_waits_when_nobody_has_ruled_on_its_participants_status"
        ),
    ),
    Bug(
        "list that cannot be paged taken for its end",
        "A site that shows its newest ten whatever is asked for loses every order behind them.",
        "worker/clients/studiocart/lists.py",
        """            if not is_read:
                raise self._unpageable()
""",
        """            if not is_read:
                return
""",
        ByTest(f"{_LISTS}a_poll_fails_when_the_list_stops_being_paged_and_nothing_is_new"),
    ),
    Bug(
        "subscriptions' list holds up every order",
        "A list of subscriptions that does not answer stops the orders that need none.",
        "worker/sources/studiocart.py",
        """        except ApiError as error:
            log.warning("the subscriptions of""",
        """        except KeyError as error:
            log.warning("the subscriptions of""",
        ByTest("tests/unit/worker/sources/test_studiocart_walks.py::test_no_order_waits_here_when_the_site_fails"),
    ),
    Bug(
        "one broken order stops its page",
        "A record that cannot be recorded takes every other order of its page with it, at every poll.",
        "workflows/ingest/order_polling.py",
        "        except Exception as error:  # noqa: BLE001  (of any class: a number, a text, a bug)\n",
        "        except KeyError as error:\n",
        ByTest("tests/integration/workflows/sources/test_set_aside.py"),
    ),
    Bug(
        "half-written order asked about",
        "An order that is read while it is written has a person asked who it is for.",
        "workflows/ingest/half_written.py",
        "    if order.payment is not Payment.PAID or order.buyer_email:\n",
        "    if order.payment is Payment.PAID or order.buyer_email:\n",
        ByTest(
            "tests/integration/in_process/workflows/ingest/test_half_written.py::test_poll_has_it_read_again_in_a_minute_and_asks_nobody"
        ),
    ),
    Bug(
        "repeat after a cancellation believed",
        "The webhook of a payment, sent again after its cancellation, gives access.",
        "workflows/ingest/repeats.py",
        "    return Novelty.DOUBTFUL if was_said or any(map(_is_dropped, versions)) else Novelty.NEW\n",
        "    return Novelty.NEW\n",
        ByTest(
            "tests/integration/in_process/workflows/ingest/test_repeats.py::test_old_paid_body_is_a_review_after_any_other_withdrawal"
        ),
    ),
    Bug(
        "customer of another site believed",
        "A run goes on at another LearningCart site than it was begun at, and gives access to whoever has that number.",
        "workflows/execution/executor.py",
        "        if is_elsewhere is not None and is_elsewhere(self._clients, held.outputs):\n",
        "        if is_elsewhere is not None and not held.id:\n",
        ByTest(
            "tests/integration/in_process/workflows/execution/test_other_site.py::test_strangers_number_is_not_used_when_the_site_has_changed"
        ),
    ),
    Bug(
        "last valid offers forgotten",
        "A typo in the offers file and a restart: every order waits for an offer that there is.",
        "workflows/planning/offers_file.py",
        "            return _Read(mark, self._last_valid(), problems=error.problems)\n",
        "            return _Read(mark, None, problems=error.problems)\n",
        ByTest(
            "tests/integration/in_process/workflows/planning/test_offers_file.py"
            "::test_last_valid_rules_outlive_a_restart_when_the_file_is_broken"
        ),
    ),
    Bug(
        "broken offers stop intake",
        "A typo in the offers file, and no poll records an order.",
        "workflows/planning/offers_file.py",
        "        return self._look().offers or Offers()\n",
        "        return self.checked()\n",
        ByTest("tests/integration/workflows/test_polling.py::test_poll_records_orders_when_the_offers_are_broken"),
    ),
    Bug(
        "refusal of everybody pauses nothing",
        "A rotated password is tried again for every order, until the account is locked.",
        "workflows/execution/retry_policy.py",
        "counted=False, next_attempt_at=now, pause=True\n",
        "counted=False, next_attempt_at=now, pause=False\n",
        ByTest(
            "tests/faults/outages/test_refused_credentials.py"
            "::test_every_run_waits_and_none_fails_when_the_password_was_rotated"
        ),
    ),
    Bug(
        "lookup that is never answered asked for ever",
        "A run whose order may exist is settling for good, and nobody is asked.",
        _SETTLING,
        "    is_spent = answers_others and asked.failures + 1 >= patience.max_attempts\n",
        "    is_spent = False\n",
        ByTest(f"{_SINGLE}a_person_is_asked_when_a_lookup_is_never_answered_and_others_are"),
    ),
    Bug(
        "probe pays for everybody's outage",
        "While nobody is answered, the run that probes uses up its attempts and fails.",
        "workflows/execution/retry_policy.py",
        "    still_down = probing and is_down and not is_own\n",
        "    still_down = False\n",
        ByTest(f"{_SINGLE}no_probe_pays_when_nobody_is_answered"),
    ),
    Bug(
        "repeat of a removed seat believed",
        "An old webhook, sent again, gives back a seat that was removed, or the wrong address that was corrected.",
        "workflows/ingest/repeats.py",
        "    return Novelty.DOUBTFUL if may_repeat and not is_present else Novelty.NEW\n",
        "    return Novelty.NEW\n",
        ByTest(
            "tests/integration/in_process/workflows/ingest/test_repeats.py::test_seat_that_was_removed_is_a_review_when_an_old_body_gives_it_back"
        ),
    ),
    Bug(
        "seat given though unpaid",
        "An order is put on hold or unpaid again before its access was given, and the access is given all the same.",
        "workflows/planning/withdrawals.py",
        "_NOT_STARTED: Final = frozenset({RunState.PENDING, RunState.WAITING})\n",
        "_NOT_STARTED: Final = frozenset({RunState.FAILED})\n",
        ByTest(
            "tests/integration/in_process/workflows/planning/test_unproven.py"
            "::test_seat_is_held_back_and_asked_about_when_the_money_is_gone_before_access_was_given"
        ),
    ),
    Bug(
        "refund in the transactions unseen",
        "A store refunds a card in 3dcart, which leaves the order's status as it was, and nobody is asked.",
        "worker/sources/threedcart_statuses.py",
        "    if reading in _OF_SALES and is_money_given_back(record):\n",
        "    if False:\n",
        ByTest(
            "tests/integration/workflows/sources/test_threedcart_orders.py"
            "::test_a_refund_is_acted_on_when_the_transactions_alone_tell_of_it"
        ),
    ),
    Bug(
        "nothing said taken for no orders",
        "LearningCart answers a lookup with an empty text, the order is taken for absent, and made a second time.",
        "worker/clients/learningcart/models.py",
        '        return not decode(body).replace(BOM, "").lstrip().startswith("<")\n',
        "        return False\n",
        ByTest("tests/unit/worker/clients/learningcart/test_client.py::test_a_list_is_unexpected_when_it_is_none"),
    ),
    Bug(
        "another's order taken for ours",
        "An answer to addCompOrder that shows another learner's order ends the run, and nobody has access by it.",
        "workflows/enrolment/steps.py",
        "    if not is_customers or (references and call.reference not in references):\n",
        "    if False:\n",
        ByTest(
            "tests/integration/in_process/workflows/enrolment/test_steps.py"
            "::test_outcome_is_unknown_when_anothers_order_is_answered"
        ),
    ),
    Bug(
        "news older than a clock that was ahead",
        "The machine's clock is a year ahead for an hour: no payment, refund or change of what was read then counts.",
        "worker/ledger/clock.py",
        "    return moment < known and not is_ahead(known, now)\n",
        "    return moment < known\n",
        ByTest(
            "tests/integration/in_process/workflows/recording/test_order_recording.py"
            "::test_answer_is_news_when_what_is_recorded_is_from_a_clock_that_was_ahead"
        ),
    ),
    Bug(
        "named person given a second seat",
        "An operator names a nameless seat of Frontcore's, its source names the same person later: two comped orders.",
        "workflows/planning/seat_matching.py",
        "    named = _named_since(order, enrolments) if order.lines_known else {}\n",
        "    named: dict[Place, Place] = {}\n",
        ByTest(
            "tests/integration/in_process/workflows/operations/test_named_participants.py"
            "::test_nothing_is_given_twice_when_the_source_names_the_same_person_later"
        ),
    ),
    Bug(
        "person with another user given a second seat",
        "Two records of one person in Frontcore are made one, and the learner gets a second comped order.",
        "workflows/planning/seat_matching.py",
        "    if learner is None or not name_of(learner):\n",
        "    if learner is None or learner is not None:\n",
        ByTest(
            "tests/unit/workflows/planning/test_participants.py"
            "::test_enrolment_is_kept_when_its_person_has_another_user_now"
        ),
    ),
    Bug(
        "another product taken for a renewal",
        "A subscriber changes to another plan or product, and its payment is ignored as a renewal of the first.",
        "workflows/planning/required_runs.py",
        "    if standing is None or not standing.earlier:\n",
        "    if standing is not None or standing is None:\n",
        ByTest(
            "tests/integration/subscriptions/test_other_purchases.py"
            "::test_a_person_is_asked_when_a_payment_is_for_another_product_or_plan"
        ),
    ),
    Bug(
        "approval left out of a trusted body",
        "A store's webhook of a declined sale is trusted, its approval is not kept, and it gives access.",
        "worker/web/webhooks/fields.py",
        '    *("transactionid", "transactionavs", "transactioncvv", "transactionreference"),\n',
        '    *("transactionid", "transactionapproval", "transactionavs", "transactioncvv", "transactionreference"),\n',
        ByTest(
            "tests/unit/worker/web/webhooks/test_fields.py"
            "::test_what_is_kept_of_a_store_s_order_is_read_as_the_whole_is"
        ),
    ),
    Bug(
        "place confirmed by silence",
        "An answer of Frontcore's that shows no status gives access to who is on a waiting list.",
        "workflows/recording/planning_input.py",
        "        whole = with_holds_of_before(order, row.document)\n",
        "        whole = order\n",
        ByTest(
            "tests/integration/in_process/workflows/recording/test_silent_records.py"
            "::test_a_held_place_stays_held_when_a_record_shows_no_status_of_it"
        ),
    ),
    Bug(
        "shared address settled by silence",
        "An answer of Frontcore's without the users of a group order gives one of them the address they share.",
        "workflows/recording/shared_addresses.py",
        "        elif not order.lines_known and any(_is_asked(row) for row in own):\n",
        "        elif False:\n",
        ByTest(
            "tests/integration/workflows/sources/test_shared_addresses.py"
            "::test_a_shared_address_is_still_asked_about_when_an_answer_leaves_the_others_out"
        ),
    ),
)
