"""The ledger under many hands at once, on both databases: one winner each time, and nobody fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, text, update

from tests.faults.harness.waiting import wait_until
from tests.unit.workflows.fakes.storefront import (
    JANE,
    JOHN,
    NOW,
    START,
    Clock,
    FakeSource,
    a_hint_reader,
    a_line,
    an_order,
    offers,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.errors import LeaseHeldError
from worker.ledger.orders import order_rows, recorded_orders
from worker.ledger.orders.recorded_orders import insert_orders, lock_orders
from worker.ledger.runs import claims, due
from worker.ledger.runs.held import HeldRun
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, RunState, Via
from worker.ledger.tables.runs import cursors, deliveries, events, learners, order_versions, runs, steps
from worker.sources.order import Learner, Seat
from workflows.execution import late_results
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.ingest.order_polling import Polled, Poller
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import _Recorder
from workflows.recording.source_start import note_contact

SEAT = "1109/1107/buyer/501"
MANY = 20
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@pytest.fixture
def postgres_ledger(postgres_url: str) -> Iterator[Ledger]:
    yield from migrated(postgres_url)


def migrated(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url, pool_size=MANY + 2)
    ledger.migrate()
    yield ledger
    ledger.close()


def at_once(work: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
    """Do all of it in threads that start together."""
    together = threading.Barrier(len(given))

    def start(each: _Given) -> _Made:
        together.wait()
        return work(each)

    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(start, given))


def claim(ledger: Ledger, run_id: str, holder: str) -> HeldRun | None:
    try:
        with ledger.write() as connection:
            return claims.claim_run(
                connection, run_id, system="learningcart", holder=holder, now=NOW, lease_seconds=120
            )
    except LeaseHeldError:
        return None


# Claims


def test_one_of_many_wins_when_they_claim_one_run_at_once(ledger: Ledger) -> None:
    record(ledger, an_order())
    run_id = run_of(ledger, SEAT).id
    found = at_once(lambda number: claim(ledger, run_id, f"worker-{number}"), list(range(MANY)))
    (held,) = [each for each in found if each is not None]
    row = run_of(ledger, SEAT)
    assert (row.state, row.fence, row.lease_holder) == ("running", 1, held.holder)


def test_one_run_of_a_lane_is_held_when_all_are_claimed_at_once(ledger: Ledger) -> None:
    for number in range(10):
        record(ledger, an_order(str(number + 1)))
    ids = [row.id for row in rows(ledger, runs)]
    for left in range(len(ids), 0, -1):
        found = at_once(lambda run_id: claim(ledger, run_id, run_id), ids)
        (held,) = [each for each in found if each is not None]
        with ledger.write() as connection:
            claims.release_run(connection, held, Ending(RunState.SUCCEEDED), now=NOW)
        done = Counter(row.state for row in rows(ledger, runs))
        assert done["succeeded"] == len(ids) - left + 1


def test_runs_of_different_learners_are_all_held_when_claimed_at_once(ledger: Ledger) -> None:
    for number in range(10):
        record(ledger, an_order(str(number + 1), learner=Learner(email=f"{number}@example.test")))
    found = at_once(lambda row: claim(ledger, row.id, row.id), rows(ledger, runs))
    assert all(found)


def test_each_orphan_is_recovered_once_when_many_sweep_at_once(ledger: Ledger) -> None:
    for number in range(5):
        record(ledger, an_order(str(number + 1), learner=Learner(email=f"{number}@example.test")))
        put_run(ledger, f"{number + 1}/1107/buyer/501", RunState.RUNNING, fence=1, lease_until=NOW)

    def sweep(_number: int) -> int:
        with ledger.write() as connection:
            return due.recover_orphans(connection, now=NOW, settle_seconds=45, max_attempts=12, backoff_seconds=2)

    assert sum(at_once(sweep, list(range(8)))) == 5
    assert len(rows(ledger, events, events.c.kind == "run_recovered")) == 5


def test_each_due_run_is_sent_once_when_beat_ticks_twice(ledger: Ledger) -> None:
    for number in range(10):
        record(ledger, an_order(str(number + 1), learner=Learner(email=f"{number}@example.test")))

    def sweep(_number: int) -> list[str]:
        with ledger.write() as connection:
            return due.take_due_runs(connection, now=NOW, system="learningcart", limit=99)

    sent = [run_id for each in at_once(sweep, list(range(8))) for run_id in each]
    assert sorted(sent) == sorted(row.id for row in rows(ledger, runs))


# Arrivals


def test_run_is_one_when_one_new_order_is_recorded_many_times_at_once(ledger: Ledger) -> None:
    """The very first contact with the source, too."""
    found = at_once(lambda _: record(ledger, an_order(), start_at=None), list(range(MANY)))
    assert sum(len(each.created) for each in found) == 1
    assert [each.changed for each in found].count(True) == 1
    counts = [len(rows(ledger, table)) for table in (runs, learners, order_versions, cursors)]
    assert counts == [1, 1, 1, 1]
    assert states(ledger) == {SEAT: ("pending", None)}


def test_learner_is_one_when_many_of_his_orders_come_at_once(ledger: Ledger) -> None:
    at_once(lambda number: record(ledger, an_order(str(number + 1))), list(range(MANY)))
    assert len(rows(ledger, learners)) == 1
    assert len({row.lane for row in rows(ledger, runs)}) == 1
    assert len(rows(ledger, runs)) == MANY


def test_orders_with_the_same_learners_in_any_order_are_all_recorded_when_they_come_at_once(ledger: Ledger) -> None:
    record(ledger, an_order("999"))
    people = [Learner(email=f"{number}@example.test") for number in range(60)]

    def order_of(number: int) -> None:
        turned = people[number * 6 :] + people[: number * 6]
        seats = [Seat(id=f"participant-{index}", learner=learner) for index, learner in enumerate(turned)]
        record(ledger, an_order(str(number + 1), lines=[a_line(seats=seats)]))

    at_once(order_of, list(range(10)))
    assert (len(rows(ledger, learners)), len(rows(ledger, runs))) == (61, 601)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def reader(ledger: Ledger, source: FakeSource, clock: Clock, tmp_path: Path) -> DeliveryReader:
    return a_hint_reader(ledger, source, an_offers_reader(tmp_path), clock)


def an_offers_reader(folder: Path) -> OffersFile:
    path = folder / "offers.toml"
    path.write_text('[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501 }]\n')
    return OffersFile(path)


def test_order_is_one_run_when_webhooks_a_poll_and_an_ingest_meet(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock, tmp_path: Path
) -> None:
    source.put(an_order())
    for number in range(MANY):
        with ledger.write() as connection:
            via = Via.WEBHOOK if number else Via.MANUAL
            order_rows.insert_delivery(
                connection, source="studiocart", order_id="1109", via=via, actor=Actor.SOURCE, now=NOW
            )
    poller = Poller(
        ledger, source, SourcePolicy(start_at=START), an_offers_reader(tmp_path), holder="poller", clock=clock
    )

    def arrive(number: int) -> object:
        return poller.poll() if number == 0 else reader.look("studiocart", "1109")

    at_once(arrive, list(range(MANY)))
    reader.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("pending", None)}
    arrived = rows(ledger, deliveries)
    assert Counter(row.via for row in arrived) == {"webhook": MANY - 1, "manual": 1, "poll": 1}
    assert {row.state for row in arrived} == {DeliveryState.PLANNED}
    assert [row.duplicate for row in arrived].count(False) == 1


def test_one_poll_of_two_works_when_they_start_at_once(
    ledger: Ledger, source: FakeSource, clock: Clock, tmp_path: Path
) -> None:
    source.put(*(an_order(str(number)) for number in range(1, 9)))
    walking, tried = threading.Event(), threading.Event()

    def wait_for_the_other(_number: int) -> None:
        walking.set()
        assert tried.wait(60)

    source.during_walk = wait_for_the_other
    offers_reader = an_offers_reader(tmp_path)

    def poll(number: int) -> Polled:
        poller = Poller(
            ledger, source, SourcePolicy(start_at=START), offers_reader, holder=f"poller-{number}", clock=clock
        )
        try:
            return poller.poll()
        finally:
            tried.set()

    found = at_once(poll, [1, 2])
    assert sorted(each.busy for each in found) == [False, True]
    assert len(states(ledger)) == 8


# Locks that must not cross


def blocked(ledger: Ledger) -> bool:
    """Whether some transaction of this database waits for another's lock."""
    waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ledger.read() as connection:
        return bool(connection.scalar(text(f"SELECT count(*) {waiting}")))


def test_order_can_be_recorded_while_a_worker_adds_a_run_to_it(postgres_ledger: Ledger) -> None:
    """The worker holds the run and adds a revocation, which refers to the order; the ingest holds the order."""
    ledger = postgres_ledger
    record(ledger, an_order())
    run_id = run_of(ledger, SEAT).id
    put_run(ledger, SEAT, RunState.RUNNING, cancel_reason="refunded_by_source")
    holds_the_order, holds_the_run = threading.Event(), threading.Event()

    def ingest() -> None:
        with ledger.write() as connection:
            assert lock_orders(connection, "studiocart", [an_order().id])
            holds_the_order.set()
            assert holds_the_run.wait(60)
            claims.lock_run(connection, run_id, now=NOW)

    def work() -> None:
        with ledger.write() as connection:
            assert holds_the_order.wait(60)
            claims.lock_run(connection, run_id, now=NOW)
            holds_the_run.set()
            wait_until(lambda: blocked(ledger), what="the ingest waits for the run")
            late_results.open_revocation(connection, run_id, "refunded_by_source", now=NOW)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(ingest), pool.submit(work)]
        for each in done:
            each.result(timeout=60)
    assert states(ledger)[f"{SEAT}/revoke"] == ("review", "refunded_after_provisioning")


def test_page_is_recorded_while_a_hint_of_one_of_its_orders_is(
    postgres_ledger: Ledger, source: FakeSource, clock: Clock, tmp_path: Path
) -> None:
    """Both bring the same new learner: the page by another order first, the hint by the order they share."""
    ledger = postgres_ledger
    poller = Poller(
        ledger, source, SourcePolicy(start_at=START), an_offers_reader(tmp_path), holder="poller", clock=clock
    )
    assert poller.poll().error is None
    source.put(an_order("3"), an_order("5"), an_order("4", learner=JOHN))
    with ThreadPoolExecutor(1) as pool:
        hinted: list[Future[object]] = []

        def hint() -> None:
            record(ledger, an_order("3"), rules=offers())

        def record_and_let_the_hint_in(recorder: Any, seen: Any) -> Any:
            made = record_some(recorder, seen)
            if not hinted:
                hinted.append(pool.submit(hint))
                wait_until(lambda: blocked(ledger), what="the hint waits for the page")
            return made

        record_some = _Recorder.record
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Recorder, "record", record_and_let_the_hint_in)
            polled = poller.poll()
        hinted[0].result(timeout=60)
    assert polled.error is None
    assert {row.email for row in rows(ledger, runs)} == {JANE.email, JOHN.email}
    assert len(rows(ledger, runs)) == 3


def test_run_is_not_claimed_with_the_steps_of_before_when_they_change_under_the_claim(postgres_ledger: Ledger) -> None:
    record(postgres_ledger, an_order())
    run_id = run_of(postgres_ledger, SEAT).id
    with ThreadPoolExecutor(1) as other:
        with postgres_ledger.write() as changing:
            changing.execute(update(runs).where(runs.c.id == run_id).values(updated_at=NOW + timedelta(seconds=1)))
            changing.execute(update(steps).where(steps.c.run_id == run_id).values(state="done"))
            claiming = other.submit(claim, postgres_ledger, run_id, "h:1:a")
            wait_until(lambda: waits_for_a_lock(postgres_ledger), what="the claim waits for the change")
        assert claiming.result(timeout=60) is None
    held = claim(postgres_ledger, run_id, "h:1:a")
    assert held is not None
    assert {step.state for step in held.steps} == {"done"}


def waits_for_a_lock(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_order_is_planned_once_when_another_adds_it_between_reading_and_writing(postgres_ledger: Ledger) -> None:
    ledger = postgres_ledger
    with ledger.write() as connection:  # else the other waits until this one's first contact is committed
        note_contact(connection, "studiocart", now=NOW, start_at=START)
    others = [an_order()]

    def add_late(connection: Connection, new: Any) -> set[str]:
        if others:
            record(ledger, others.pop())
        return insert_orders(connection, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_orders, "insert_orders", add_late)
        own = record(ledger, an_order())
    assert (own.changed, own.created) == (False, [])
    assert states(ledger) == {SEAT: ("pending", None)}
    assert [row.number for row in rows(ledger, order_versions)] == [1]
