"""The ledger's tables. The database enforces what it can: keys are unique, and a lane has at most one running run.

Indexes of some rows alone, that one among them, are in `worker.ledger.tables.indexes`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, false
from sqlmodel import Field

from worker.ledger.states import DeliveryState, OrderState, RunState, StepState
from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class Delivery(LedgerModel, table=True):
    """One arrival of news about an order. Holds the body only where a setting says to plan from it."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "state", "next_attempt_at"),
        Index("ix_deliveries_order", "source", "order_id"),
        Index("ix_deliveries_received_at", "received_at"),
    )

    id: str = Field(primary_key=True)
    source: str
    order_id: str | None = None
    """The source's id of the order; None for a lead."""
    via: str
    actor: str
    state: str = DeliveryState.RECEIVED
    reason: str | None = None
    note: str | None = None
    """The last error in one sentence, redacted."""
    duplicate: bool = False
    attempts: int = 0
    replan: bool = False
    """Plan the order's open seats again by today's offers."""
    body: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    received_at: datetime = moment(nullable=False)
    next_attempt_at: datetime | None = moment()
    lease_holder: str | None = None
    lease_until: datetime | None = moment()
    dispatched_at: datetime | None = moment()
    finished_at: datetime | None = moment()


class OrderRecord(LedgerModel, table=True):
    """One order of one source, as last seen."""

    __tablename__ = "orders"
    __table_args__ = (
        Index("ix_orders_state", "state", "source"),
        Index("ix_orders_buyer_email_key", "buyer_email_key"),
        Index("ix_orders_updated_at", "updated_at"),
        Index("ix_orders_replan_at", "replan_at"),
    )

    source: str = Field(primary_key=True)
    order_id: str = Field(primary_key=True)
    state: str = OrderState.WAITING
    reason: str | None = None
    status: str = ""
    """The source's own word."""
    payment: str
    buyer_email: str = ""
    buyer_email_key: str = ""
    buyer_name: str = ""
    total_minor_units: int | None = Field(default=None, sa_column=Column(BigInteger(), nullable=True))
    currency: str | None = None
    renewal: bool = False
    document: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """Our normalised `Order`, without the raw record."""
    content_hash: str = ""
    polled_hash: str | None = None
    """The content a poll last saw: what tells a poll that a row is unchanged."""
    offers_digest: str = ""
    """The offers it was last planned by."""
    version: int = 0
    reading: int | None = None
    """Which reading of the source's record its content and hashes are from:
    `worker.ledger.orders.recorded_orders.READING`. None: of before readings were numbered."""
    read_anew: list[list[str]] | None = Field(default=None, sa_column=json_column(nullable=True))
    """The places, as line and seat, that only a changed reading has given it: their seats are a question."""
    before_start: bool = False
    """It was paid before the source's start: taken as handled unless an operator says otherwise."""
    created_at: datetime | None = moment()
    """When the source says it was made."""
    first_seen_at: datetime = moment(nullable=False)
    fetched_at: datetime = moment(nullable=False)
    """When the request for the newest recorded content was sent: an answer to an older request is older news."""
    updated_at: datetime = moment(nullable=False)
    replan_at: datetime | None = moment()
    """When a change that could not be applied to a running run is looked at again."""


class OrderVersion(LedgerModel, table=True):
    """One version of an order's content, as the source sent it. Only added to."""

    __tablename__ = "order_versions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["source", "order_id"], ["orders.source", "orders.order_id"], name="fk_order_versions_orders"
        ),
    )

    source: str = Field(primary_key=True)
    order_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    content_hash: str
    raw: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    delivery_id: str | None = None
    seen_at: datetime = moment(nullable=False)
    reading: int | None = None


class LearnerRecord(LedgerModel, table=True):
    """A learner; its id is the lane, so that lanes hold no personal data."""

    __tablename__ = "learners"
    __table_args__ = (Index("uq_learners_email_key", "email_key", unique=True),)

    id: str = Field(primary_key=True)
    email: str
    email_key: str


class Run(LedgerModel, table=True):
    """One execution of a workflow: for `enrolment`, one learner × one grant from one order line.

    `grant` holds what it was planned with, whatever its workflow; None for a run that is never executed.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("uq_runs_key", "key", unique=True),
        Index("ix_runs_due", "state", "next_attempt_at"),
        Index("ix_runs_lane", "lane", "state"),
        Index("ix_runs_order", "source", "order_id"),
        Index("ix_runs_email_key", "email_key"),
        Index("ix_runs_created_at", "created_at"),
        Index("ix_runs_result_id", "result_id"),
        Index("ix_runs_completion_id", "completion_id"),
        ForeignKeyConstraint(["source", "order_id"], ["orders.source", "orders.order_id"], name="fk_runs_orders"),
        ForeignKeyConstraint(["completion_id"], ["completions.id"], name="fk_runs_completions"),
    )

    id: str = Field(primary_key=True)
    key: str
    workflow: str
    state: str = RunState.PENDING
    reason: str | None = None
    note: str | None = None
    """The sentence behind the reason for this run, or the last error, redacted."""
    source: str
    order_id: str | None = None
    """None for a run that belongs to a completion."""
    completion_id: str | None = None
    line_id: str
    seat_id: str
    title: str = ""
    email: str | None = None
    email_key: str | None = None
    learner: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    grant: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    lane: str
    generation: int = 0
    result_id: str | None = None
    """The destination's id of the effect: the LearningCart order id."""
    parent_id: str | None = None
    """The run whose effect a revocation run is about."""
    delivery_id: str | None = None
    """The delivery that caused it."""
    cancel_reason: str | None = None
    """Set when the source cancels a run whose effect is open: the lookup decides."""
    cancelled_by: str | None = None
    fence: int = 0
    system: str | None = None
    """The destination it was last claimed for."""
    lease_holder: str | None = None
    lease_until: datetime | None = moment()
    lane_shut_until: datetime | None = moment()
    """Until then no other run of the lane may start: a request of this one may still be under way."""
    next_attempt_at: datetime | None = moment()
    dispatched_at: datetime | None = moment()
    dispatches: int = 0
    created_at: datetime = moment(nullable=False)
    updated_at: datetime = moment(nullable=False)
    finished_at: datetime | None = moment()


class Step(LedgerModel, table=True):
    """One call of a run, in its place. `output` holds what later steps need, and nothing secret."""

    __tablename__ = "steps"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_steps_runs"),)

    run_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    name: str
    state: str = StepState.PENDING
    output: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    counted: int = 0
    """Attempts of this generation that count towards the cap."""
    finished_at: datetime | None = moment()


class Attempt(LedgerModel, table=True):
    """One try of a call or of a lookup.

    A row without an outcome is an intent: the request was or may have been sent.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_attempts_runs"),
        Index("ix_attempts_started_at", "started_at"),
    )

    run_id: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    kind: str = "call"
    """`call` or `lookup`."""
    generation: int = 0
    fence: int = 0
    holder: str = ""
    reference: str | None = None
    started_at: datetime = moment(nullable=False)
    finished_at: datetime | None = moment()
    outcome: str | None = None
    http_status: int | None = None
    error: str | None = None
    result_id: str | None = None
    answer_seconds: float | None = None
    """Of a lookup that was answered: how long the answer took, by a clock that is never set."""
    may_have_acted: bool | None = None
    """Of a call that failed: whether the destination may have carried it out. None: nobody knows, so it may."""
    is_forgotten: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """The ledger was restored from an older copy, and this call may have been sent in the time that it forgot."""


class Event(LedgerModel, table=True):
    """One line of the audit trail. The database refuses to change or delete it. Holds no secret and no email."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_run_id", "run_id"),
        Index("ix_events_order", "source", "order_id"),
        Index("ix_events_at", "at"),
    )

    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    at: datetime = moment(nullable=False)
    kind: str
    actor: str
    """`engine`, `source`, or `operator:<name>`."""
    run_id: str | None = None
    source: str | None = None
    order_id: str | None = None
    delivery_id: str | None = None
    system: str | None = None
    reason: str | None = None
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())


class Cursor(LedgerModel, table=True):
    """How far a source has been read. Moves only in the transaction that records what it covers."""

    __tablename__ = "cursors"

    source: str = Field(primary_key=True)
    first_contact_at: datetime | None = moment()
    start_at: datetime | None = moment()
    """Orders made before it were there before Cartbridge."""
    start_order_id: int | None = Field(default=None, sa_column=Column(BigInteger(), nullable=True))
    """The highest order id at the start, where the source computes its dates: what lies above it was made since."""
    baseline_at: datetime | None = moment()
    """When the first sweep was complete."""
    position: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """The source's own marks, such as the highest order id seen."""
    deep_swept_at: datetime | None = moment()
    last_attempt_at: datetime | None = moment()
    last_success_at: datetime | None = moment()
    last_error: str | None = None
    failures: int = 0
    lease_holder: str | None = None
    lease_until: datetime | None = moment()


class Pause(LedgerModel, table=True):
    """A system nothing is sent to until it is resumed."""

    __tablename__ = "pauses"

    system: str = Field(primary_key=True)
    kind: str
    """`operator`; `authentication` when its credentials were refused; `restored` when it knows of effects of ours that
    the ledger does not."""
    reason: str
    actor: str
    since: datetime = moment(nullable=False)


class BreakerRecord(LedgerModel, table=True):
    """A destination whose calls failed lately; see `worker.ledger.runs.breaker`. No row: nothing is wrong with it."""

    __tablename__ = "breakers"

    system: str = Field(primary_key=True)
    state: str
    opened_at: datetime | None = moment()
    probe_at: datetime | None = moment()
    probe_run_id: str | None = None
    allowance: int = 0
    """Not used; an older version that still runs during an upgrade reads it."""
    failures: int = 0
    failing_run_ids: list[str] = Field(default_factory=list, sa_column=json_column())
    own_failing_run_ids: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    last_error: str | None = None
    """Redacted."""


class OutboxRecord(LedgerModel, table=True):
    """An event that a receiver is told of by webhook. Written in the transaction of the fact it tells of."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "state", "next_attempt_at"),)

    id: str = Field(primary_key=True)
    """The `webhook-id`, the same at every attempt: by it the receiver tells a repetition."""
    kind: str
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    state: str
    attempts: int = 0
    next_attempt_at: datetime | None = moment()
    last_error: str | None = None
    """Redacted."""
    created_at: datetime = moment(nullable=False)
    sent_at: datetime | None = moment()


deliveries = table_of(Delivery)
orders = table_of(OrderRecord)
order_versions = table_of(OrderVersion)
learners = table_of(LearnerRecord)
runs = table_of(Run)
steps = table_of(Step)
attempts = table_of(Attempt)
events = table_of(Event)
cursors = table_of(Cursor)
pauses = table_of(Pause)
breakers = table_of(BreakerRecord)
outbox = table_of(OutboxRecord)
