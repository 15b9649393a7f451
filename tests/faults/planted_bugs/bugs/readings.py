"""Planted bugs against the rulings on how a record is read: whose it is, what was bought, when, and if it is paid."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest

_AGE = "workflows/planning/order_age.py"
_EMAIL = "worker/text/email_address.py"
_LINES = "worker/sources/studiocart_lines.py"
_PLANNING = "workflows/planning/planner.py"
_SEATS = "worker/sources/frontcore_seats.py"
_STUDIOCART = "worker/sources/studiocart.py"
_THREEDCART = "worker/sources/threedcart_statuses.py"
_UNIT, _IN_PROCESS = "tests/unit", "tests/integration/in_process"
_ON_WORKFLOWS = "tests/integration/workflows"

READINGS = (
    # Identity
    Bug(
        "names compared as they are written",
        "An offer for a name with an ampersand matches no order, and a line that was planned under it is another.",
        _LINES,
        "    return decoded(name)\n",
        '    return " ".join((name or "").split())\n',
        ByTest(
            f"{_IN_PROCESS}/workflows/planning/test_line_keys.py"
            "::test_line_keeps_its_key_when_its_name_was_written_with_entities"
        ),
    ),
    Bug(
        "number cut from any name",
        "A product called “Formula x 1” and bought twice is another product than the one the offer names.",
        _LINES,
        "    return cut.rstrip() if found == quantity else name\n",
        "    return cut.rstrip()\n",
        ByTest(
            f"{_UNIT}/worker/sources/test_studiocart_lines.py::test_number_in_a_name_stays_when_it_is_not_the_quantity"
        ),
    ),
    Bug(
        "offer by name beats one by id",
        "A product that is renamed to another's name gives that one's access.",
        "workflows/planning/offers.py",
        "        return max(found, key=lambda rule: rule.specificity, default=None)\n",
        "        return min(found, key=lambda rule: rule.specificity, default=None)\n",
        ByTest(f"{_IN_PROCESS}/workflows/planning/test_line_keys.py::test_offer_by_id_beats_one_by_name"),
    ),
    Bug(
        "further seats left out",
        "Who buys three places gets one, and nobody is asked who the other two are for.",
        _LINES,
        "        for number in range(1, quantity + 1)\n",
        "        for number in range(1, min(quantity, 1) + 1)\n",
        ByTest(f"{_UNIT}/worker/sources/test_studiocart_lines.py::test_quantity_is_the_buyer_and_nameless_seats"),
    ),
    Bug(
        "edited offer plans again",
        "Editing an offer gives everybody who has the old price the new one as well.",
        _PLANNING,
        "        if fixed and not (self.situation.replan and has_rule):\n",
        "        if fixed and not has_rule:\n",
        ByTest(
            f"{_UNIT}/workflows/planning/test_planner.py::test_edited_offer_changes_nothing_when_the_seat_has_a_run"
        ),
    ),
    Bug(
        "two offers that match equally",
        "Which of two offers a product gets is left to the order of the file.",
        "workflows/planning/offers.py",
        "        *_tie_problems(name, places, file),\n",
        "",
        ByTest(
            f"{_UNIT}/workflows/planning/test_offers.py::test_two_offers_that_match_equally_are_refused_with_both_lines"
        ),
    ),
    Bug(
        "one price granted twice",
        "An offer that names a price twice makes one run of the two, and the operator believes there are two.",
        "workflows/planning/offers.py",
        "            for price in sorted({price for price in prices if prices.count(price) > 1})\n",
        "            for price in sorted({price for price in prices if prices.count(price) > 2})\n",
        ByTest(f"{_UNIT}/workflows/planning/test_offers.py::test_two_grants_of_one_price_are_refused_on_their_line"),
    ),
    # People
    Bug(
        "invisible characters kept",
        "A learner is provisioned under an address that ends in a zero-width space, which nobody can type.",
        _EMAIL,
        '    written = normal_form("NFC", text or "")\n    begin, end',
        '    return normal_form("NFC", text or "").strip()\n    written = ""\n    begin, end',
        ByTest(f"{_UNIT}/worker/text/test_email_address.py::test_what_nobody_sees_is_cut_when_it_stands_at_the_ends"),
    ),
    Bug(
        "invisible characters within let through",
        "A learner is provisioned under an address with a byte-order mark in it.",
        _EMAIL,
        "    if character.isascii() or _is_blank(character):\n        return _named(character)\n",
        "    if _is_blank(character):\n        return None\n",
        ByTest(f"{_UNIT}/worker/text/test_email_address.py::test_an_address_is_no_learners_when_it_has_a_problem"),
    ),
    Bug(
        "answer about an address forgotten",
        "Who two people with one address are is asked again at every look, though a person has said it.",
        "workflows/recording/shared_addresses.py",
        "        if (line.id, seat.id) in accepted or (own_run is not None and is_same_name(name, _name(own_run))):\n",
        "        if own_run is not None and is_same_name(name, _name(own_run)):\n",
        ByTest(
            "tests/integration/workflows/sources/test_shared_addresses.py"
            "::test_an_answer_holds_from_then_on_when_the_run_is_replayed"
        ),
    ),
    # The start
    Bug(
        "operator's word does not override the start",
        "An order from before the start that the operator names stays ignored.",
        _AGE,
        "        is_question = sighting.is_manual or ",
        "        is_question = ",
        ByTest(
            f"{_UNIT}/workflows/planning/test_start.py::test_ignored_order_goes_to_review_when_the_operator_names_it"
        ),
    ),
    Bug(
        "id that is another buyer's ignored",
        "A restored shop gives an id anew, and its buyer gets nothing, because the one before was handled by hand.",
        _AGE,
        "sighting.is_in_hand or sighting.is_another_buyers\n",
        "sighting.is_in_hand\n",
        ByTest(
            f"{_ON_WORKFLOWS}/test_polling_start.py::"
            "test_restored_shops_order_is_a_question_when_its_id_was_another_buyers"
        ),
    ),
    Bug(
        "mark of the start rises",
        "An order that comes during the first sweep moves the mark above itself, and is ignored.",
        "workflows/recording/source_start.py",
        "        .where(cursors.c.source == source, cursors.c.start_order_id.is_(None))\n",
        "        .where(cursors.c.source == source)\n",
        ByTest(
            f"{_ON_WORKFLOWS}/test_polling_start.py::"
            "test_mark_stays_when_an_order_comes_during_the_first_sweep_or_it_begins_again"
        ),
    ),
    Bug(
        "id of before the mark planned",
        "An old order that the first sweep could not see turns up, and is given a second time.",
        _AGE,
        "        if start.is_swept:\n            return _below_mark(created_at, start.at)\n",
        "",
        ByTest(
            f"{_ON_WORKFLOWS}/test_polling_start.py"
            "::test_id_below_the_mark_is_a_question_when_the_first_sweep_did_not_find_it"
        ),
    ),
    Bug(
        "computed date is an edit",
        "The site's time zone changes, and every order it has looks edited.",
        "worker/ledger/orders/order_rows.py",
        'exclude={"raw", "created_at", *ANNOTATIONS}',
        'exclude={"raw", *ANNOTATIONS}',
        ByTest(
            f"{_IN_PROCESS}/worker/ledger/orders/test_order_rows.py"
            "::test_hash_leaves_out_what_is_not_read_from_the_orders_own_record"
        ),
    ),
    Bug(
        "line gained by a reading given",
        "An upgrade that reads one line more gives access to everybody who bought it long ago.",
        "workflows/recording/rereading.py",
        "    anew = _places(lines) if is_paid_anew else (_places(lines) - _places(stored.lines)) | _asked",
        "    anew = _places(lines) if is_paid_anew else _asked",
        ByTest(
            f"{_IN_PROCESS}/workflows/recording/test_rereading.py::test_line_is_a_question_when_only_the_reading_gives_it"
        ),
    ),
    # What a record is, and what it says
    Bug(
        "status that nobody ruled on waits",
        "An order whose status is not listed waits for ever, and nobody is asked.",
        _STUDIOCART,
        "else PAYMENTS.get(status, Payment.UNKNOWN)\n",
        "else PAYMENTS.get(status, Payment.WAITING)\n",
        ByTest(f"{_UNIT}/worker/sources/test_studiocart.py::test_status_means_what_the_issue_says"),
    ),
    Bug(
        "subscription's unlisted status decides nothing",
        "A subscription with a status that nobody has ruled on goes on giving access, and nobody is asked.",
        "workflows/recording/subscription_status.py",
        '    return subscription.access is Access.UNKNOWN and subscription.status != ""\n',
        "    return False\n",
        ByTest(
            "tests/integration/subscriptions/test_orders.py::"
            "test_purchase_waits_for_a_person_when_nobody_has_ruled_on_its_subscriptions_status"
        ),
    ),
    Bug(
        "course with nothing to pay waits",
        "A course that costs nothing is never marked as paid, and its participants wait for ever.",
        "worker/sources/frontcore.py",
        '    if provision_when == "created" or total_amount(record) == 0:\n',
        '    if provision_when == "created":\n',
        ByTest(f"{_UNIT}/worker/sources/test_frontcore.py::test_an_order_is_paid_when_it_says_so_or_costs_nothing"),
    ),
    Bug(
        "credited order is for free",
        "An order that was credited in whole has nothing to pay: it passes for a free one, and gives access.",
        "worker/sources/frontcore.py",
        "    if is_credited(record):\n        return Payment",
        "    if False:\n        return Payment",
        ByTest(
            "tests/integration/in_process/workflows/recording/test_order_changes.py"
            "::test_nobody_is_given_access_when_an_unpaid_order_was_credited"
        ),
    ),
    Bug(
        "later payment of a withdrawn purchase is ignored",
        "A purchase was refunded before it gave access, and what is paid later is ignored: nobody gets any.",
        "workflows/planning/required_runs.py",
        "    is_other = is_other or (standing is not None and standing.is_unserved)\n",
        "",
        ByTest(
            "tests/integration/subscriptions/test_other_purchases.py"
            "::test_a_person_is_asked_when_the_purchase_gave_nothing_and_a_later_payment_is_made"
        ),
    ),
    Bug(
        "store's order with nothing to pay waits",
        "A free course of a 3dcart store stays unpaid by its status, and its buyer waits for ever.",
        _THREEDCART,
        "            return Payment.PAID if record.order_amount == 0 else Payment.WAITING\n",
        "            return Payment.WAITING\n",
        ByTest(f"{_UNIT}/worker/sources/test_threedcart_statuses.py"),
    ),
    Bug(
        "course date's unlisted status given",
        "A status of a course date that nobody has ruled on gives access.",
        _SEATS,
        "COURSE_DATE_STATUSES: Final = frozenset({1, 2, COURSE_CANCELLED, 4})",
        "COURSE_DATE_STATUSES: Final = frozenset({*range(100)})",
        ByTest(
            f"{_UNIT}/worker/sources/test_frontcore_seats.py::"
            "test_a_seat_waits_when_nobody_has_ruled_on_its_course_dates_status"
        ),
    ),
    Bug(
        "answer without an id unreadable",
        "The plugin's empty answer to an id it does not know is tried again for ever, as if the site had failed.",
        "worker/clients/studiocart/client.py",
        "isinstance(document, dict) and not _shows_id(document) and ",
        "isinstance(document, int) and not _shows_id(document) and ",
        ByTest(f"{_UNIT}/worker/clients/studiocart/test_client.py::test_a_record_is_not_found_when_the_site_has_none"),
    ),
    Bug(
        "trashed order planned",
        "An order that was thrown away in the shop gives access.",
        _STUDIOCART,
        "        return Payment.CANCELLED\n    if not status:\n",
        '        status = status or "paid"\n    if not status:\n',
        ByTest(
            f"{_UNIT}/worker/sources/test_studiocart.py::test_trashed_order_is_not_planned_where_its_record_shows_it"
        ),
    ),
    Bug(
        "completed order paid without evidence",
        "A store's order by cheque, which is New until it arrives, gives access.",
        _THREEDCART,
        "            return Payment.PAID if record.order_amount == 0 or is_money_taken(record) else Payment.WAITING\n",
        "            return Payment.PAID\n",
        ByTest(f"{_UNIT}/worker/sources/test_threedcart_statuses.py"),
    ),
    Bug(
        "order without evidence not asked about",
        "A store's order that was paid in a way its record does not show waits for ever, and nobody is asked.",
        "workflows/planning/unproven.py",
        "    if not order.payment_unproven:\n",
        "    if order.lines or not order.payment_unproven:\n",
        ByTest(
            "tests/integration/workflows/sources/test_threedcart_orders.py"
            "::test_a_completed_order_is_asked_about_a_day_later_when_it_shows_no_money"
        ),
    ),
    Bug(
        "refund's question names no other payment",
        "Access that another order pays for as well is taken back by hand, because nothing told of it.",
        "worker/ledger/views/review_sentences.py",
        "    others = _paid_access(connection, given, given.email_key)\n",
        "    others = _paid_access(connection, given, None)\n",
        ByTest(
            f"{_IN_PROCESS}/worker/ledger/views/test_answers.py"
            "::test_other_payment_is_named_when_a_refunded_order_was_one_of_two"
        ),
    ),
    Bug(
        "subscription awaited for ever",
        "An order whose subscription no list shows waits for ever, and nobody is asked.",
        "workflows/recording/subscription_status.py",
        "        role=Role.AWAITED if now < until else Role.UNLISTED,\n",
        "        role=Role.AWAITED,\n",
        ByTest(
            "tests/integration/workflows/test_subscription_two_years.py::"
            "test_order_is_a_question_when_no_subscription_lists_it_for_long"
        ),
    ),
    Bug(
        "subscription awaited by every order",
        "An order that names no subscription waits for a list that does not answer.",
        "worker/sources/studiocart.py",
        '        recurring=subscription_id is not None or any((item.sub_summary or "").strip() for item in items),\n',
        "        recurring=True,\n",
        ByTest(
            "tests/integration/workflows/test_subscription_two_years.py::"
            "test_subscription_s_order_waits_and_no_other_does_when_no_list_of_subscriptions_answers"
        ),
    ),
)
