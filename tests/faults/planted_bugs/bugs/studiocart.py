"""Planted bugs on Studiocart's records: what a line is, what an order is, what is paid, and what is old news."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest

_TESTS = "tests/faults/effects/test_studiocart_rulings.py::test_"
RENAMED = f"{_TESTS}bump_is_granted_once_when_it_is_renamed_and_an_offer_comes_for_its_new_name"

STUDIOCART = (
    Bug(
        "renamed line taken for another",
        "Where an older plugin shows names alone, a bump that is renamed after the sale gets a second comped order.",
        "workflows/planning/line_keys.py",
        "        return line.id not in self.keys.values() and any(each.may_be(line) for each in self.lost)\n",
        "        return False\n",
        ByTest(f"{_TESTS}renamed_bump_is_a_question_when_nothing_but_names_tells_it_apart[names0-sqlite]"),
    ),
    Bug(
        "key of an earlier version lost",
        "A line that an earlier version planned under its name gets a new key, and a second comped order.",
        "workflows/planning/line_keys.py",
        "            keys[found] = line_id\n",
        "            keys[line_id] = line_id\n",
        ByTest(f"{RENAMED}[True-sqlite]"),
    ),
    Bug(
        "subscription planned as an order",
        "The record of a subscription that is completed gets a comped order of its own.",
        "worker/sources/studiocart.py",
        "        if is_subscription_record(whole):\n",
        "        if not whole:\n",
        ByTest(f"{_TESTS}subscription_is_no_order_when_a_webhook_carries_its_id[sqlite]"),
    ),
    Bug(
        "nothing to pay is paid",
        "A declined card of a trial, and a PayPal checkout that was left, give access.",
        "worker/sources/studiocart.py",
        "    extra = record.model_extra or {}\n",
        "    extra = record.model_extra or {}\n    if record.order_amount == 0:\n        return Payment.PAID\n",
        ByTest(f"{_TESTS}nothing_is_given_when_a_checkout_without_a_total_was_not_finished[sqlite]"),
    ),
    Bug(
        "repeated webhook believed",
        "The webhook of a payment, sent again after its refund, settles the question whether access is taken back.",
        "workflows/ingest/repeats.py",
        "        return Novelty.OLD if was_said else Novelty.DOUBTFUL\n",
        "        return Novelty.NEW\n",
        ByTest(f"{_TESTS}refund_stands_when_the_webhook_of_the_payment_is_sent_again[sqlite]"),
    ),
)
