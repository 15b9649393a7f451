"""Planted bugs against the rulings on arrivals: notifications, lists that cannot be paged, refusals and outages."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest

_UNIT = "tests/unit"
_HINTS = "workflows/ingest/deliveries.py"
_LISTS = "worker/clients/studiocart/lists.py"

ARRIVALS = (
    Bug(
        "webhook that outran its order ignored",
        "A webhook that arrives before its order's row is dropped, and nobody is told that the order never came.",
        "workflows/ingest/failed_looks.py",
        "        return DeliveryState.REVIEW, reason\n    return DeliveryState.WAITING, reason\n",
        "        return DeliveryState.IGNORED, reason\n    return DeliveryState.WAITING, reason\n",
        ByTest(
            "tests/integration/in_process/workflows/ingest/test_deliveries.py"
            "::test_hook_is_asked_again_for_fifteen_minutes_when_it_outran_its_order"
        ),
    ),
    Bug(
        "short page taken for the end",
        "A site that caps its pages at ten shows its newest ten, and every order behind them is lost.",
        _LISTS,
        "            if is_whole and self._pages_without_new_rows:\n",
        "            if len(page.records) < size:\n",
        ByTest(
            f"{_UNIT}/worker/clients/studiocart/test_client.py"
            "::test_all_records_come_when_a_site_caps_its_pages_and_ends_its_own_way"
        ),
    ),
    Bug(
        "other way of asking not tried",
        "Behind a proxy that drops the body of a GET no order is ever read, though the query would be.",
        _LISTS,
        "            if not (is_read or is_whole or self._has_changed_way):\n",
        "            if not (is_read or is_whole or True):\n",
        ByTest(
            "tests/integration/clients/test_unpageable_lists.py"
            "::test_every_order_is_seen_when_another_way_of_asking_works"
        ),
    ),
    Bug(
        "same page for every request taken for the end",
        "An account that answers every page alike loses the orders behind the first, and the books agree.",
        "worker/clients/frontcore/paging.py",
        '            raise EndlessListError("answers every page alike: later rows cannot be read")\n',
        "            return\n",
        ByTest(
            f"{_UNIT}/worker/clients/frontcore/test_paging.py"
            "::test_the_walk_fails_behind_what_it_showed_when_every_page_is_the_same"
        ),
    ),
    Bug(
        "large pages asked for again and again",
        "A site too slow for a page of a hundred orders is never read at all.",
        "worker/clients/list_pages.py",
        "if _is_of_the_size(error) else None\n",
        "if _is_of_the_size(error) and False else None\n",
        ByTest(
            f"{_UNIT}/worker/clients/studiocart/test_lists.py::test_every_order_comes_when_large_pages_are_too_slow"
        ),
    ),
    Bug(
        "one broken completion stops the poll",
        "A completion that cannot be read hides every other one, at every poll.",
        "worker/clients/learningcart/client.py",
        "        return read_rows(rows, read, by_id=False)\n",
        "        return [read(row) for row in rows]\n",
        ByTest(
            f"{_UNIT}/worker/clients/learningcart/test_client.py"
            "::test_a_completion_is_set_aside_when_it_alone_cannot_be_read"
        ),
    ),
    Bug(
        "error page taken for refused credentials",
        "An error page in the place of a token pauses LearningCart, and everybody waits for a person.",
        "worker/clients/learningcart/client.py",
        "                error = self._page(operation, answer, safe_to_repeat=True)\n"
        "            elif answer.status < 500:\n",
        "                error = self._credentials_refused(answer.status)\n            elif answer.status < 500:\n",
        ByTest(
            "tests/faults/outages/test_refused_credentials.py::"
            "test_run_waits_and_nothing_is_paused_when_an_error_page_answers_the_token_request"
        ),
    ),
    Bug(
        "refusal that cannot be told pauses the system",
        "One learner is refused while a gateway answers nothing else, and LearningCart is paused for all.",
        "worker/clients/learningcart/client.py",
        "        return None if error is not None else False\n",
        "        return error is not None\n",
        ByTest(
            "tests/faults/outages/test_refused_credentials.py::"
            "test_run_waits_and_nobody_is_paused_when_it_cannot_be_told_whose_refusal_it_is"
        ),
    ),
    Bug(
        "probe's own failure never counted",
        "A run that the server cannot take is the probe for ever, though others succeeded since it first failed.",
        "workflows/execution/retry_policy.py",
        "    is_own = answers_others and sent\n",
        "    is_own = answers_others and sent and not probing\n",
        ByTest(
            "tests/faults/effects/test_single_requests.py"
            "::test_probe_ends_in_review_by_its_cap_when_others_succeeded_since_it_first_failed"
        ),
    ),
)
