"""Planted bugs on the way from a source's news to its runs: deliveries, polls, versions, cancellations."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest, Killed, Simulated

_INGEST = "workflows/recording/order_recording.py"
_ORDER_ROWS = "worker/ledger/orders/order_rows.py"
_WALKS = "workflows/ingest/paging.py"
_MODEL = (
    "tests/faults/polling/test_polling_model.py"
    "::test_every_version_that_stays_in_sight_is_recorded_when_anything_happens"
)
_ON_STUDIOCART, _ON_FRONTCORE = ByTest(f"{_MODEL}[studiocart-0]"), ByTest(f"{_MODEL}[frontcore-0]")

ORDERS = (
    Bug(
        "webhook accepted without a commit",
        "The shop is told that its news is taken, and it is not.",
        "worker/web/webhooks/intake.py",
        "        with self._ledger.write(alone=True) as connection:\n",
        "        with self._ledger.engine.connect() as connection:\n",
        Simulated(),
    ),
    Bug(
        "delivery acknowledged before the order",
        "A hint counts as planned from the moment it is taken: a worker that dies then has lost it.",
        _ORDER_ROWS,
        "    lease = leases.leased(holder, now=now, lease_seconds=lease_seconds)\n",
        '    lease = {"state": DeliveryState.PLANNED, "finished_at": now}\n',
        Simulated(),
    ),
    Bug(
        "deliveries' lease never ends",
        "A hint whose worker was killed is never looked at again.",
        "worker/ledger/leases.py",
        "return row.lease_until is not None and row.lease_until > now",
        "return row.lease_until is not None",
        Killed("webhook", "committed workflows.ingest.deliveries.look"),
    ),
    Bug(
        "poll's lease kept by an exception",
        "A source whose poll fails in a way nobody thought of is held until its lease ends, and no failure is counted.",
        "workflows/ingest/order_polling.py",
        "        except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the poll)\n",
        "        except ApiError as error:\n",
        ByTest("tests/faults/effects/test_people.py::test_a_source_is_let_go_of_when_a_poll_fails_as_nobody_expects"),
    ),
    Bug(
        "address of another given away",
        "A participant with an address that is another's in an earlier order overwrites that learner's profile.",
        "workflows/recording/shared_addresses.py",
        "        return None if is_known_name(name, given) else str(Reason.SHARED_EMAIL)\n",
        "        return hold\n",
        ByTest(
            "tests/faults/effects/test_people.py"
            "::test_a_second_name_waits_for_a_person_when_an_earlier_order_has_the_address"
        ),
    ),
    Bug(
        "name sent over the known one",
        "A buyer who orders under another name overwrites the profile of the learner who has the address.",
        "workflows/enrolment/steps.py",
        "client.keeps_profiles or call.learner.keeps_profile",
        "client.keeps_profiles",
        ByTest(
            "tests/faults/effects/test_people.py::test_a_buyer_of_another_name_is_given_access_and_the_profile_stays"
        ),
    ),
    Bug(
        "poll's lease never ends",
        "A source whose poll was killed is never polled again.",
        "worker/ledger/leases.py",
        "return or_(table.c.lease_until.is_(None), table.c.lease_until <= now)",
        "return table.c.lease_until.is_(None)",
        Killed("poll", "committed workflows.ingest.order_polling._take_cursor"),
    ),
    Bug(
        "cursor moved early",
        "The cursor stands behind pages nobody has walked: a poll that dies has lost what is on them.",
        _WALKS,
        "return Position(self.before.highest_id, self.before.polled_at, self.unsettled)",
        "return Position(self.seen_id, self.began_at)",
        _ON_STUDIOCART,
    ),
    Bug(
        "overlap dropped",
        "An order whose row becomes visible late, below the highest id, is never seen.",
        _WALKS,
        "OVERLAP_ORDERS = 50",
        "OVERLAP_ORDERS = 0",
        _ON_STUDIOCART,
    ),
    Bug(
        "ties lost",
        "What changed in the second of the last poll, or just before it, is not asked for.",
        "worker/sources/frontcore.py",
        "OVERLAP: Final = timedelta(hours=26)",
        "OVERLAP: Final = timedelta(seconds=-1)",
        _ON_FRONTCORE,
    ),
    Bug(
        "order dated anew crosses the start",
        "The site's time zone changes: what was given by hand before the start is given a second time.",
        "workflows/planning/order_age.py",
        "    if sighting.is_decided:\n",
        "    if sighting.is_decided and age is not Age.NEW:\n",
        ByTest("tests/faults/restore/test_history.py::test_decided_order_is_not_given_when_its_site_dates_it_anew"),
    ),
    Bug(
        "reading that changed is a payment",
        "An upgrade gives access to orders of long ago that only its new reading takes for paid.",
        "workflows/planning/planner.py",
        "        if (line.id, seat.id) in self.situation.read_anew:\n",
        "        if (line.id, seat.id) in self.situation.read_anew and fixed:\n",
        ByTest(
            "tests/faults/restore/test_history.py::test_order_is_not_given_when_only_a_new_version_reads_it_as_paid"
        ),
    ),
    Bug(
        "unchanged page ends a walk",
        "New orders push a changed one to the second page, and the walk ends above it.",
        _WALKS,
        "return len(self.settled) > self.unsettled",
        "return True",
        _ON_STUDIOCART,
    ),
    Bug(
        "cancellation does not wait for the lookup",
        "A run whose call may have taken effect is cancelled, and access that was given is nobody's question.",
        "workflows/planning/model.py",
        "return self.state is RunState.RUNNING or self.effect_open",
        "return self.state is RunState.RUNNING",
        Killed("cancelled while open"),
    ),
    Bug(
        "effect counts as open only while the call runs",
        "An unknown outcome does not keep a cancellation waiting.",
        "worker/ledger/runs/attempts.py",
        "or_(attempts.c.outcome.is_(None), attempts.c.outcome == Outcome.UNKNOWN),",
        "attempts.c.outcome.is_(None),",
        Killed("cancelled while open"),
    ),
    Bug(
        "cancellation ignored at the intent",
        "An order that was cancelled during the steps before is provisioned all the same.",
        "worker/ledger/runs/claims.py",
        "_INTEND: Final = _KEEP.where(runs.c.cancel_reason.is_(None))\n",
        "_INTEND: Final = _KEEP.where(runs.c.key.is_not(None))\n",
        ByTest("tests/faults/effects/test_cancellation.py::test_run_is_cancelled_when_its_order_call_has_not_begun"),
    ),
    Bug(
        "cancelled during the call, and nobody asked",
        "Access given to an order that was taken back meanwhile is nobody's question.",
        "workflows/execution/recorder.py",
        "                    if cancelled is not None:\n",
        "                    if cancelled is None:\n",
        ByTest("tests/faults/effects/test_cancellation.py::test_person_is_asked_when_it_is_taken_back_during_the_call"),
    ),
)
