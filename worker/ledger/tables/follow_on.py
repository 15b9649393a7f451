"""The tables of what follows on a course: completions, and the 3dcart carts that were made, or may have been."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, moment, table_of


class CompletionRecord(LedgerModel, table=True):
    """A learner's progress in a course, as LearningCart last told it: one for each customer, course and start."""

    __tablename__ = "completions"
    __table_args__ = (
        Index("uq_completions_key", "key", unique=True),
        Index("ix_completions_email_key", "email_key"),
        Index("ix_completions_course_id", "course_id"),
        Index("ix_completions_updated_at", "updated_at"),
    )

    id: str = Field(primary_key=True)
    key: str
    """Customer, course and start, by LearningCart's ids: it holds no personal data."""
    state: str
    customer_id: str
    email: str = ""
    email_key: str = ""
    name: str = ""
    course_id: str
    course_name: str = ""
    score: int | None = None
    started_at: datetime | None = moment()
    completed_at: datetime | None = moment()
    first_seen_at: datetime = moment(nullable=False)
    updated_at: datetime = moment(nullable=False)


class CartRecord(LedgerModel, table=True):
    """One try of making a cart, and what became of the cart: no call of 3dcart's lists them."""

    __tablename__ = "carts"
    __table_args__ = (
        ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_carts_runs"),
        Index("uq_carts_run_attempt", "run_id", "attempt", unique=True),
        Index("ix_carts_state", "state", "created_at"),
    )

    id: str = Field(primary_key=True)
    run_id: str
    attempt: int
    """The number of the `create_cart` attempt."""
    cart_id: str | None = None
    """3dcart's order key; None while it is not known whether there is a cart."""
    state: str
    checkout_url: str | None = None
    """Opens the checkout for whoever has it."""
    created_at: datetime = moment(nullable=False)
    updated_at: datetime = moment(nullable=False)
    looked_at: datetime | None = moment()
    """When 3dcart was last asked what became of it."""


carts = table_of(CartRecord)
completions = table_of(CompletionRecord)
