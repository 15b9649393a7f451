"""The tables of learners' secrets: who was forgotten, told by keyed hashes, and new customers' sealed passwords."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class ErasureKey(LedgerModel, table=True):
    """A key of the hashes. Made by the migration, so that every copy of the ledger from then on has it."""

    __tablename__ = "erasure_keys"

    id: str = Field(primary_key=True)
    key: str
    """32 random bytes, in hexadecimal. In the ledger alone, never in the file of erasures."""
    created_at: datetime = moment(nullable=False)


class Erasure(LedgerModel, table=True):
    """One person was forgotten. Nothing in it tells who to somebody without the key."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_digest", "digest"),)

    id: str = Field(primary_key=True)
    erased_at: datetime = moment(nullable=False)
    key_id: str | None = None
    digest: str | None = None
    """HMAC-SHA-256 of the address's key; None for a person who was forgotten before there were hashes."""
    marks: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """By source, the highest order id known at that moment: what lies above it was ordered since."""


class ErasedPlace(LedgerModel, table=True):
    """A place in an order that was the person's: `line_id` and `seat_id`; both empty where they were the buyer."""

    __tablename__ = "erased_places"

    source: str = Field(primary_key=True)
    order_id: str = Field(primary_key=True)
    line_id: str = Field(primary_key=True)
    seat_id: str = Field(primary_key=True)
    erasure_id: str


class SealedPassword(LedgerModel, table=True):
    """What a `welcome_mail` run is to mail. Once erased the row stays, without what was sealed."""

    __tablename__ = "sealed_passwords"
    __table_args__ = (ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_sealed_passwords_runs"),)

    run_id: str = Field(primary_key=True)
    """The `welcome_mail` run."""
    ciphertext: str | None = Field(default=None, repr=False)
    """A Fernet token; None once it is erased."""
    created_at: datetime = moment(nullable=False)
    erased_at: datetime | None = moment()


erasure_keys = table_of(ErasureKey)
erasures = table_of(Erasure)
erased_places = table_of(ErasedPlace)
sealed_passwords = table_of(SealedPassword)
