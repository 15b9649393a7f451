"""The table of the 3dcart carts that were made, or may have been, for follow-on courses."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import moment, table_of


class CartRecord(SQLModel, table=True):
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
