"""The table of new customers' passwords, sealed until their mail is accepted."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import moment, table_of
from worker.ledger.tables.page_indexes import partial


class SealedPassword(SQLModel, table=True):
    """What a `welcome_mail` run is to mail. Once erased the row stays, without what was sealed."""

    __tablename__ = "sealed_passwords"
    __table_args__ = (
        ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_sealed_passwords_runs"),
        partial("ix_sealed_passwords_sealed", "created_at", of="ciphertext IS NOT NULL"),
    )

    run_id: str = Field(primary_key=True)
    """The `welcome_mail` run."""
    ciphertext: str | None = Field(default=None, repr=False)
    """A Fernet token; None once it is erased."""
    created_at: datetime = moment(nullable=False)
    erased_at: datetime | None = moment()


sealed_passwords = table_of(SealedPassword)
