"""A shop in memory: orders by the dozen, a source that sells them, and a clock that moves when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from worker.errors import ApiError, NotFoundError, WebhookRejectedError
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, RunState, Via, check_transition
from worker.ledger.tables.runs import attempts, deliveries, runs
from worker.sources.order import Learner, Line, Money, Order, Payment, Product, Seat
from worker.sources.source import Page, Unreadable, Until, Walk
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.planning.model import (
    ENROLMENT,
    Cancel,
    ChangeGrant,
    ChangeLearner,
    Create,
    KnownRun,
    Plan,
    RequestCancel,
    Revive,
    WithdrawCancel,
)
from workflows.planning.offers import Grant, Offers, parse_offers
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import Look, Recorded, record_order

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
START = NOW - timedelta(days=1)
JANE = Learner(email="jane@example.test", first_name="Jane", last_name="Doe")
JOHN = Learner(email="john@example.test", first_name="John", last_name="Roe")

ONE_OFFER = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]
"""


def offers(text: str = ONE_OFFER) -> Offers:
    return parse_offers(text)


class Clock:
    """Time as the test tells it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


def a_seat(number: int = 1, learner: Learner | None = JANE) -> Seat:
    """The buyer's seat, or one of the nameless ones that a quantity brings."""
    return Seat(id="buyer", learner=learner) if number == 1 else Seat(id=f"seat-{number}", hold="unnamed_seat")


def a_line(
    line_id: str = "1107", *, seats: Sequence[Seat] | None = None, quantity: int = 1, learner: Learner = JANE
) -> Line:
    """A line of product `line_id`."""
    return Line(
        id=line_id,
        title=f"Course {line_id}",
        product=Product(product_id=line_id, product_name=f"Course {line_id}"),
        seats=tuple(seats if seats is not None else [a_seat(number, learner) for number in range(1, quantity + 1)]),
    )


def an_order(
    order_id: str = "1109",
    *,
    payment: Payment = Payment.PAID,
    learner: Learner = JANE,
    quantity: int = 1,
    lines: Sequence[Line] | None = None,
    created_at: datetime | None = NOW - timedelta(hours=1),
    **more: Any,
) -> Order:
    """A Studiocart order of product 1107, unless told otherwise."""
    return Order(
        source="studiocart",
        id=order_id,
        status=more.pop("status", str(payment)),
        payment=payment,
        created_at=created_at,
        buyer_email=learner.email,
        buyer_name=f"{learner.first_name} {learner.last_name}",
        total=Money(minor_units=500, currency="INR"),
        lines=tuple(lines if lines is not None else [a_line(quantity=quantity, learner=learner)]),
        raw={"id": int(order_id)},
        **more,
    )


@dataclass
class FakeSource:
    """Sells what it is given. `asked` keeps what it was asked; `broken` makes it fail."""

    clock: Callable[[], datetime]
    page_size: int = 3
    name: str = "studiocart"
    asked: list[str] = field(default_factory=list)
    renewals: set[str] = field(default_factory=set)
    broken: ApiError | None = None
    unreadable: list[Unreadable] = field(default_factory=list)
    """Records that stand on the first page of every walk and cannot be read."""
    pages_until_broken: int | None = None
    rereads: dict[str, Order] = field(default_factory=dict)
    """What is made today of the records that are kept, by id."""
    during_fetch: Callable[[str], None] = lambda _order_id: None
    during_walk: Callable[[int], None] = lambda _number: None
    _changed: dict[str, Order] = field(default_factory=dict)
    """By id, the one changed last at the end."""

    def put(self, *given: Order) -> None:
        """Sell an order, or change it: it is the most recently changed one now."""
        for order in given:
            self._changed.pop(order.id, None)
            self._changed[order.id] = order

    def forget(self, order_id: str) -> None:
        """Have no such order any more."""
        del self._changed[order_id]

    def fetch(self, order_id: str) -> Order:
        self.asked.append(f"fetch {order_id}")
        self.during_fetch(order_id)
        self._fail_if_broken()
        if order_id not in self._changed:
            raise NotFoundError("no such order", system=self.name, operation="fetch", status=404)
        return self._changed[order_id]

    def from_body(self, body: dict[str, Any]) -> Order:
        self.asked.append("from_body")
        if "status" not in body:
            raise WebhookRejectedError("The body is not an order.", status=422)
        return an_order(str(body["id"]), payment=Payment(body["status"]))

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        return self.rereads.get(str(record.get("id")))

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        self.asked += [f"annotate {order.id}" for order in orders]
        reported = {"renewal": True, "subscription_id": "1108"}
        return [order.model_copy(update=reported) if order.id in self.renewals else order for order in orders]

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:
        yield Walk(self.walk_newest(), Until.KNOWN_ID)
        yield Walk(self.walk_changed(), Until.UNCHANGED, is_of_changes=True)

    def walk_newest(self) -> Iterator[Page]:
        return self._walk("newest", sorted(self._changed.values(), key=lambda order: -int(order.id)))

    def walk_changed(self) -> Iterator[Page]:
        return self._walk("changed", list(self._changed.values())[::-1])

    def walk_since(self, since: datetime) -> Iterator[Page]:
        since_then = [each for each in self._changed.values() if each.created_at is None or each.created_at >= since]
        return self._walk("since", sorted(since_then, key=lambda order: -int(order.id)))

    def _walk(self, kind: str, found: list[Order]) -> Iterator[Page]:
        for number, start in enumerate(range(0, max(len(found), 1), self.page_size), start=1):
            if not (found or self.unreadable):
                return
            self.asked.append(f"{kind} page {number}")
            self.during_walk(number)
            if self.pages_until_broken is not None:
                self.pages_until_broken -= 1
                if self.pages_until_broken < 0:
                    raise ApiError("the site is down", system=self.name, operation="list", status=500, retryable=True)
            self._fail_if_broken()
            aside = tuple(self.unreadable) if number == 1 else ()
            yield Page(tuple(found[start : start + self.page_size]), self.clock(), aside)

    def _fail_if_broken(self) -> None:
        if self.broken is not None:
            raise self.broken

    def count(self, prefix: str) -> int:
        """How often it was asked something that begins like this."""
        return sum(asked.startswith(prefix) for asked in self.asked)


def a_hint_reader(
    ledger: Ledger,
    source: FakeSource,
    offers_reader: OffersFile,
    clock: Clock,
    *,
    policy: SourcePolicy = SourcePolicy(start_at=START),  # noqa: B008  (frozen)
    holder: str = "reader",
) -> DeliveryReader:
    return DeliveryReader(
        ledger,
        {source.name: source},
        {source.name: policy, "frontcore": SourcePolicy()},
        offers_reader,
        holder=holder,
        retry_base_seconds=2,
        retry_max_seconds=3600,
        clock=clock,
        rng=Random(1),
    )


def record(
    ledger: Ledger,
    order: Order,
    *,
    rules: Offers | None = None,
    now: datetime = NOW,
    start_at: datetime | None = START,
    fetched_at: datetime | None = None,
    **look: Any,
) -> Recorded:
    """Record an order as if it had just been fetched."""
    with ledger.write() as connection:
        seen = Look(fetched_at=fetched_at or now, **look)
        return record_order(connection, order, rules or offers(), seen, now=now, start_at=start_at)


def rows(ledger: Ledger, table: Table, *conditions: Any) -> list[Row[Any]]:
    """A table's rows, in the order of its primary key."""
    with ledger.read() as connection:
        return list(connection.execute(select(table).where(*conditions).order_by(*table.primary_key.columns)))


def arrive(ledger: Ledger, clock: Clock, via: Via = Via.WEBHOOK, **values: Any) -> str:
    """Record a delivery of the order; its id."""
    given = {"source": "studiocart", "order_id": "1109", "actor": Actor.SOURCE} | values
    with ledger.write() as connection:
        return order_rows.insert_delivery(connection, via=via, now=clock.now, **given)


def delivery(ledger: Ledger, delivery_id: str) -> Row[Any]:
    (row,) = rows(ledger, deliveries, deliveries.c.id == delivery_id)
    return row


def run_of(ledger: Ledger, key: str) -> Row[Any]:
    """The run with this key, whose source need not be written."""
    (row,) = rows(ledger, runs, runs.c.key == f"studiocart/{key}")
    return row


def states(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    """Every run's state and reason, by its key without the source."""
    return {row.key.removeprefix("studiocart/"): (row.state, row.reason) for row in rows(ledger, runs)}


def put_run(ledger: Ledger, key: str, state: RunState, **values: Any) -> None:
    """Bring a run into a state, as the engine would have."""
    with ledger.write() as connection:
        put_run_in(connection, key, state, **values)


def put_run_in(connection: Connection, key: str, state: RunState, **values: Any) -> None:
    connection.execute(runs.update().where(runs.c.key == f"studiocart/{key}").values(state=state, **values))


def open_effect(ledger: Ledger, key: str, *, step: str = "add_comped_order", outcome: str | None = None) -> None:
    """Leave a call of the run open: it was or may have been sent, and nobody knows its outcome."""
    run = run_of(ledger, key)
    with ledger.write() as connection:
        connection.execute(runs.update().where(runs.c.id == run.id).values(fence=runs.c.fence + 1))
        connection.execute(
            attempts.insert().values(
                run_id=run.id,
                step=step,
                number=1,
                kind="call",
                generation=run.generation,
                fence=1,
                holder="gone",
                started_at=NOW,
                outcome=outcome,
            )
        )


def known(
    place: str = "1107/buyer/501",
    state: RunState = RunState.PENDING,
    *,
    order_id: str = "1109",
    workflow: str = ENROLMENT,
    learner: Learner | None = JANE,
    grant: Grant | None = None,
    **more: Any,
) -> KnownRun:
    """A run as planning knows it, of line/seat/grant `place`; a placeholder where the last part is not a number."""
    line_id, seat_id, word, *_ = place.split("/")
    if grant is None and word.isdecimal():
        grant = Grant(price_id=int(word), group_ids=(12,))
    return KnownRun(
        id=more.pop("id", f"run {place}"),
        key=f"studiocart/{order_id}/{place}",
        workflow=workflow,
        state=state,
        line_id=line_id,
        seat_id=seat_id,
        learner=learner,
        grant=grant,
        **more,
    )


def apply(plan: Plan, before: Sequence[KnownRun]) -> list[KnownRun]:
    """The runs as they are after a plan: what `ingest` does in the ledger."""
    after = {run.id: run for run in before}
    for action in plan.actions:
        match action:
            case Create():
                assert action.key not in {run.key for run in after.values()}, "a key is unique"
                made = {name: getattr(action, name) for name in ("key", "workflow", "state", "line_id", "seat_id")}
                run = KnownRun(id=action.key, **made, reason=action.reason, learner=action.learner, grant=action.grant)
                after[run.id] = run
            case Cancel():
                check_transition(after[action.run_id].state, RunState.CANCELLED, Actor.SOURCE)
                after[action.run_id] = replace(
                    after[action.run_id], state=RunState.CANCELLED, reason=action.reason, cancelled_by=action.by
                )
            case RequestCancel():
                after[action.run_id] = replace(after[action.run_id], cancel_reason=action.reason)
            case WithdrawCancel():
                after[action.run_id] = replace(after[action.run_id], cancel_reason=None)
            case Revive():
                run = after[action.run_id]
                state = RunState.PENDING if action.reason is None else RunState.REVIEW
                check_transition(run.state, state, Actor.SOURCE)
                after[run.id] = replace(
                    run,
                    state=state,
                    reason=action.reason,
                    cancelled_by=None,
                    cancel_reason=None,
                    learner=action.learner or run.learner,
                    grant=action.grant or run.grant,
                )
            case ChangeLearner():
                after[action.run_id] = replace(_start_over(after[action.run_id]), learner=action.learner)
            case ChangeGrant():
                after[action.run_id] = replace(_start_over(after[action.run_id]), grant=action.grant)
    return list(after.values())


def _start_over(run: KnownRun) -> KnownRun:
    return replace(run, state=RunState.PENDING) if run.state is RunState.FAILED else run
