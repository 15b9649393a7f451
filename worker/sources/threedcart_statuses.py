"""How 3dcart's order statuses are read, and what of a record shows that money was taken.

The numbers are fixed; their labels are the store's own, and `GET /OrderStatus` lists them. What each means is from
public material.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from worker.clients.reading import fold
from worker.clients.threedcart.models import Order, Transaction
from worker.sources.order import Payment

PAID_STATUSES: Final = frozenset({2, 4})
"""Processing and Shipped."""
NEW: Final = 1
"""Completed and paid online: the normal state of a card sale. Other ways of paying may leave an order in it too."""
NOT_COMPLETED: Final = 7
"""A checkout that was begun and left: no order."""
STATUS_NAMES: Final[Mapping[int, str]] = {
    NEW: "New",
    2: "Processing",
    3: "Partial",
    4: "Shipped",
    5: "Cancel",
    6: "Hold",
    NOT_COMPLETED: "Not Completed",
    11: "Unpaid",
    12: "Review",
    13: "Review",
    21: "Quote",
}
"""The vendor's labels. 8, 9 and 10 are the store's to use as it likes."""


class Reading(Enum):
    """What a status means. Its value completes "is read as …"."""

    PAID = "paid"
    PAID_BY_EVIDENCE = (
        "paid where money was taken or nothing is to pay, else it waits, and is a question after 24 hours"
    )
    PARTIAL = "paid where money was taken, else a question (unknown_status)"
    WAITING_OR_FREE = "unpaid: it waits, unless the total is zero"
    WAITING = "unpaid: it waits"
    CANCELLED = "cancelled"
    NO_ORDER = "no order: the checkout was not completed"
    UNLISTED = "a question (unknown_status)"


_READINGS: Final[Mapping[int, Reading]] = {
    NEW: Reading.PAID_BY_EVIDENCE,
    3: Reading.PARTIAL,
    5: Reading.CANCELLED,
    6: Reading.WAITING,
    NOT_COMPLETED: Reading.NO_ORDER,
    11: Reading.WAITING_OR_FREE,
    12: Reading.WAITING,
    13: Reading.WAITING,
    21: Reading.WAITING,
}

_OF_SALES: Final = frozenset({Reading.PAID, Reading.PAID_BY_EVIDENCE, Reading.PARTIAL})
"""How the statuses of a sale that was completed are read."""
_MOST_GIVEN_BACK: Final = Decimal(10) ** 14
_GIVEN_BACK: Final = ("refund", "credit", "void", "chargeback", "reversal")
_CARD: Final = "creditcard"
"""How a card is called, by which nothing was credited."""
_TAKEN: Final = ("sale", "capture", "charge", "purchase", "priorauthcapture", "authcapture", "authorizeandcapture")


_DECLINED: Final = (
    *("declin", "fail", "denied", "reject", "refus", "error", "invalid", "expired", "insufficient", "cancel", "abort"),
    *("unapproved", "notapproved", "notauth", "unauth", "donothonor", "timeout", "timedout", "fraud"),
)
"""Parts of an approval's word, folded, by which the processor says that it took nothing."""
_APPROVED: Final = frozenset(
    {
        *("approved", "approval", "success", "successful", "succeeded", "accepted", "ok", "yes", "true"),
        *("captured", "completed", "complete", "paid", "settled", "authorized", "authorised"),
    }
)


class Approval(Enum):
    """What a transaction's approval says."""

    GIVEN = "given"
    """A code or a word of approval, or nothing at all: then the kind of the transaction counts."""
    DECLINED = "declined"
    UNKNOWN = "unknown"
    """A word nobody has ruled on."""


def approval_of(row: Transaction) -> Approval:
    """How a transaction's approval is read: the vendor's field holds the processor's code, or its word."""
    written = (row.transaction_approval or "").strip()
    word = fold(written)
    if any(part in word for part in _DECLINED):
        return Approval.DECLINED
    is_code = any(letter.isdigit() for letter in written) and not any(letter.isspace() for letter in written)
    return Approval.GIVEN if not written or is_code or word in _APPROVED else Approval.UNKNOWN


def unknown_approval(record: Order) -> str:
    """The first approval of a record that nobody has ruled on, as written; empty for none."""
    unknown = (row for row in record.transaction_list or () if approval_of(row) is Approval.UNKNOWN)
    return next(((row.transaction_approval or "").strip() for row in unknown), "")


def reading_of(status_id: int | str | None, paid_statuses: frozenset[int]) -> Reading:
    """How a status is read. One that a record leaves out is read as New: only evidence makes the order paid."""
    if status_id is None:
        return Reading.PAID_BY_EVIDENCE
    if status_id in paid_statuses and status_id != NOT_COMPLETED:
        return Reading.PAID
    return _READINGS.get(status_id, Reading.UNLISTED) if isinstance(status_id, int) else Reading.UNLISTED


def payment_of(record: Order, paid_statuses: frozenset[int]) -> Payment:
    """What an order's status and transactions mean for provisioning.

    No status is known that means refunded: the transactions say so, whichever status of a sale the order was left in.
    """
    reading = reading_of(record.order_status_id, paid_statuses)
    if reading in _OF_SALES and is_money_given_back(record):
        return Payment.REFUNDED
    if reading in _OF_SALES and (is_below_zero(record) or unreadable_refund(record)):
        return Payment.UNKNOWN
    match reading:
        case Reading.PAID:
            return Payment.PAID
        case Reading.PAID_BY_EVIDENCE:
            return Payment.PAID if record.order_amount == 0 or is_money_taken(record) else Payment.WAITING
        case Reading.PARTIAL:
            return Payment.PAID if is_money_taken(record) else Payment.UNKNOWN
        case Reading.WAITING_OR_FREE:
            return Payment.PAID if record.order_amount == 0 else Payment.WAITING
        case Reading.WAITING | Reading.NO_ORDER:
            return Payment.WAITING
        case Reading.CANCELLED:
            return Payment.CANCELLED
        case Reading.UNLISTED:
            return Payment.UNKNOWN


def is_below_zero(record: Order) -> bool:
    """Whether the order's amount is one that is owed to the buyer: no sale that anybody has ruled on."""
    return record.order_amount is not None and record.order_amount < 0


def unreadable_refund(record: Order) -> str:
    """The first amount that was given back and cannot be read, as written: all or a part; empty for none."""
    backs = (
        row for row in record.transaction_list or () if _is_back(row) and approval_of(row) is not Approval.DECLINED
    )
    return next((row.transaction_amount for row in backs if isinstance(row.transaction_amount, str)), "")


def lacks_evidence(record: Order, paid_statuses: frozenset[int]) -> bool:
    """Whether an order is complete by its status, and nothing in it shows that money was taken."""
    is_new = reading_of(record.order_status_id, paid_statuses) is Reading.PAID_BY_EVIDENCE
    return is_new and payment_of(record, paid_statuses) is Payment.WAITING


def is_money_taken(record: Order) -> bool:
    """Whether a record shows that money was taken, and not all of it given back.

    `BillingOnLinePayment` shows it, and so does a transaction that was captured. Voids are first of what was only
    authorised: an authorisation that was let go says nothing of the sale that followed it. What the processor declined
    took nothing and gave nothing back, and what nobody has ruled on took nothing; where there is nothing else, the
    order's own word does not stand against it.
    """
    found = _moved(record)
    if found.was_given_back:
        return found.taken - found.given_back > 0
    return found.was_taken or (bool(record.billing_on_line_payment) and not found.was_declined)


def is_money_given_back(record: Order) -> bool:
    """Whether a record shows that money was taken, and that all of it was given back since."""
    found = _moved(record)
    taken = found.taken or (record.order_amount or Decimal(0) if record.billing_on_line_payment else Decimal(0))
    return found.given_back > 0 and 0 < taken <= found.given_back


def given_back(record: Order) -> int:
    """The hundredths that were given back of what was taken."""
    return int(min(_moved(record).given_back, _MOST_GIVEN_BACK) * 100)


@dataclass(frozen=True)
class _Moved:
    """The money that an order's transactions moved. Voids are first of what was only authorised."""

    taken: Decimal
    given_back: Decimal
    was_taken: bool
    was_given_back: bool
    was_declined: bool


def _moved(record: Order) -> _Moved:
    whole = record.order_amount or Decimal(0)
    taken = authorized = refunded = voided = Decimal(0)
    was_given_back = was_taken = was_declined = False
    for row in record.transaction_list or ():
        is_told = isinstance(row.transaction_amount, Decimal)
        amount = row.transaction_amount if isinstance(row.transaction_amount, Decimal) else whole
        kind = fold(row.transaction_type or "")
        approval = approval_of(row)
        if approval is Approval.DECLINED:
            was_declined = True
        elif _is_back(row):
            was_given_back = True
            back = Decimal(0) if isinstance(row.transaction_amount, str) else abs(amount)
            if kind.startswith("void"):
                voided += back
            else:
                refunded += back
        elif approval is Approval.UNKNOWN:
            was_declined = True
        elif _is_captured(row, kind):
            taken += amount
            was_taken = not is_told or amount > 0 or was_taken
        else:
            authorized += amount
    given_back = refunded + max(voided - authorized, Decimal(0))
    return _Moved(taken, given_back, was_taken, was_given_back, was_declined)


def _is_back(row: Transaction) -> bool:
    """Whether a transaction gives money back: by its kind, or by an amount below zero."""
    kind, amount = fold(row.transaction_type or ""), row.transaction_amount
    is_negative = isinstance(amount, Decimal) and amount < 0
    return (kind.startswith(_GIVEN_BACK) and not kind.startswith(_CARD)) or is_negative


def _is_captured(row: Transaction, kind: str) -> bool:
    return row.transaction_captured is True or kind.startswith(_TAKEN)
