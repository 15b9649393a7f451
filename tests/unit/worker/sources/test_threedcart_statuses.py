"""`worker.sources.threedcart_statuses`: when an order of the store is paid."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from worker.clients.threedcart.models import Order
from worker.sources.order import Payment
from worker.sources.threedcart import to_order
from worker.sources.threedcart_statuses import (
    PAID_STATUSES,
    Reading,
    is_money_taken,
    lacks_evidence,
    payment_of,
    reading_of,
)

PAID, WAITING, CANCELLED, UNKNOWN = Payment.PAID, Payment.WAITING, Payment.CANCELLED, Payment.UNKNOWN


def an_order(status_id: object = 1, **fields: Any) -> Order:
    return Order.model_validate({"OrderID": 7, "OrderStatusID": status_id, "OrderAmount": 49.0} | fields)


def read(status_id: object, paid_statuses: frozenset[int] = PAID_STATUSES, **fields: Any) -> Payment:
    return payment_of(an_order(status_id, **fields), paid_statuses)


def a_transaction(kind: str | None, amount: object = 49.0, captured: object = 0) -> dict[str, Any]:
    return {"TransactionType": kind, "TransactionAmount": amount, "TransactionCaptured": captured}


@pytest.mark.parametrize("status_id", [1, 2, 3, 4])
def test_a_person_is_asked_when_the_amount_is_below_zero(status_id: int) -> None:
    order = to_order(an_order(status_id, OrderAmount=-49, BillingOnLinePayment=True), zone=UTC)
    assert order.payment is UNKNOWN
    assert order.status.endswith(", amount below zero")


@pytest.mark.parametrize(
    ("status_id", "with_money", "without", "free"),
    [
        (1, PAID, WAITING, PAID),
        ("1", PAID, WAITING, PAID),
        (2, PAID, PAID, PAID),
        (3, PAID, UNKNOWN, UNKNOWN),
        (4, PAID, PAID, PAID),
        (5, CANCELLED, CANCELLED, CANCELLED),
        (6, WAITING, WAITING, WAITING),
        (8, UNKNOWN, UNKNOWN, UNKNOWN),
        (9, UNKNOWN, UNKNOWN, UNKNOWN),
        (10, UNKNOWN, UNKNOWN, UNKNOWN),
        (11, WAITING, WAITING, PAID),
        (12, WAITING, WAITING, WAITING),
        (13, WAITING, WAITING, WAITING),
        (21, WAITING, WAITING, WAITING),
        (0, UNKNOWN, UNKNOWN, UNKNOWN),
        (99, UNKNOWN, UNKNOWN, UNKNOWN),
        ("Refunded", UNKNOWN, UNKNOWN, UNKNOWN),
        (True, UNKNOWN, UNKNOWN, UNKNOWN),
        (None, PAID, WAITING, PAID),
        ("", PAID, WAITING, PAID),
    ],
)
def test_a_status_means_what_is_ruled_when_read(
    status_id: object, with_money: Payment, without: Payment, free: Payment
) -> None:
    assert read(status_id, BillingOnLinePayment=True) is with_money
    assert read(status_id, TransactionList=[a_transaction("Sale")]) is with_money
    assert read(status_id) is read(status_id, BillingOnLinePayment=False, TransactionList=[]) is without
    assert read(status_id, OrderAmount="0.00") is free


def test_a_number_means_paid_when_the_setting_names_it() -> None:
    for status_id in (1, 3, 8, 9, 10, 12, 21, 99):
        assert read(status_id, frozenset({status_id})) is PAID
    assert read(4, frozenset({8})) is UNKNOWN
    assert reading_of(7, frozenset({7})) is Reading.NO_ORDER


@pytest.mark.parametrize(
    ("rows", "is_taken"),
    [
        ([], False),
        ([a_transaction("Sale")], True),
        ([a_transaction("Authorize")], False),
        ([a_transaction("Authorize", captured=1)], True),
        ([a_transaction("Authorize", captured="true")], True),
        ([a_transaction("Authorize"), a_transaction("Capture")], True),
        ([a_transaction(None, captured=1)], True),
        ([a_transaction(None)], False),
        ([a_transaction("Sale", None)], True),
        ([a_transaction("Credit Card", captured=1)], True),
        ([a_transaction("CreditCard")], False),
        ([a_transaction("Sale", 0)], False),
        ([a_transaction("Sale"), a_transaction("Refund")], False),
        ([a_transaction("Sale"), a_transaction("Refund", None)], False),
        ([a_transaction("Sale"), a_transaction("Refund", 10)], True),
        ([a_transaction("Sale"), a_transaction("Sale", -49)], False),
        ([a_transaction("Sale"), a_transaction("Void")], False),
        ([a_transaction("Authorize"), a_transaction("Void")], False),
        ([a_transaction("Authorize"), a_transaction("Void"), a_transaction("Sale")], True),
        ([a_transaction("Sale"), a_transaction("Void"), a_transaction("Sale")], True),
    ],
)
def test_money_is_taken_when_the_transactions_say_so(rows: list[dict[str, Any]], *, is_taken: bool) -> None:
    assert is_money_taken(an_order(TransactionList=rows)) is is_taken
    was_given_back = any(str(row["TransactionType"]).startswith(("Refund", "Void")) for row in rows) or any(
        (row["TransactionAmount"] or 0) < 0 for row in rows
    )
    assert is_money_taken(an_order(TransactionList=rows, BillingOnLinePayment=True)) is (is_taken or not was_given_back)


@pytest.mark.parametrize("captured", [0, 1])
@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize(
    ("approval", "is_taken"),
    [
        *(
            (code, True)
            for code in ("000000", "A1B2C3", "8AB12345CD678901E", "Approved", " APPROVAL ", "Success", "", None)
        ),
        *((word, False) for word in ("Declined", "DECLINED: 05", "Failed", "Do Not Honor", "Error 12", "Card expired")),
        *((word, False) for word in ("Pending review", "In progress")),
    ],
)
def test_money_is_taken_when_the_approval_does_not_deny_it(
    approval: str | None, captured: int, *, online: bool, is_taken: bool
) -> None:
    sale = a_transaction("Sale", captured=captured) | {"TransactionApproval": approval}
    record = an_order(TransactionList=[sale], BillingOnLinePayment=online)
    assert is_money_taken(record) is is_taken
    assert payment_of(record, PAID_STATUSES) is (PAID if is_taken else WAITING)
    retried = an_order(TransactionList=[sale, a_transaction("Sale") | {"TransactionApproval": "123456"}])
    assert is_money_taken(retried)


@pytest.mark.parametrize(
    ("rows", "online", "is_given_back"),
    [
        ([a_transaction("Sale"), a_transaction("Refund")], False, True),
        ([a_transaction("Sale"), a_transaction("Refund", -49)], True, True),
        ([a_transaction("Sale"), a_transaction("Refund", 20), a_transaction("Credit", 29)], True, True),
        ([a_transaction("Sale"), a_transaction("Void")], False, True),
        ([a_transaction("Sale", None), a_transaction("Refund", None)], False, True),
        ([a_transaction("Refund")], True, True),
        ([a_transaction("Refund")], False, False),
        ([a_transaction("Sale"), a_transaction("Refund", 20)], True, False),
        ([a_transaction("Credit Card", captured=1)], True, False),
        ([a_transaction("Credit Card", captured=0)], True, False),
        ([a_transaction("Sale"), a_transaction("Refund"), a_transaction("Sale")], True, False),
        ([a_transaction("Authorize"), a_transaction("Void")], False, False),
        ([a_transaction("Sale") | {"TransactionApproval": "Declined"}, a_transaction("Void")], False, False),
        ([a_transaction("Sale"), a_transaction("Refund") | {"TransactionApproval": "Declined"}], True, False),
        ([], True, False),
    ],
)
def test_order_is_refunded_when_all_that_was_taken_was_given_back(
    rows: list[dict[str, Any]], *, online: bool, is_given_back: bool
) -> None:
    for status_id in (1, 2, 3, 4, None):
        found = read(status_id, TransactionList=rows, BillingOnLinePayment=online)
        assert (found is Payment.REFUNDED) is is_given_back
    for status_id, payment in ((5, CANCELLED), (6, WAITING), (8, UNKNOWN), (11, WAITING), (12, WAITING)):
        assert read(status_id, TransactionList=rows, BillingOnLinePayment=online) is payment


@pytest.mark.parametrize(
    ("rows", "hundredths"),
    [
        ([a_transaction("Sale")], 0),
        ([a_transaction("Sale"), a_transaction("Refund", "19.99")], 1999),
        ([a_transaction("Sale"), a_transaction("Refund", -10), a_transaction("Refund", 5)], 1500),
        ([a_transaction("Authorize"), a_transaction("Void")], 0),
    ],
)
def test_what_was_given_back_is_told_in_hundredths(rows: list[dict[str, Any]], hundredths: int) -> None:
    assert to_order(an_order(TransactionList=rows), zone=UTC).given_back == hundredths


@pytest.mark.parametrize("amount", ["20,00", "$20.00", "all"])
@pytest.mark.parametrize("status_id", [1, 2, 3, 4])
def test_a_person_is_asked_when_what_was_given_back_cannot_be_read(status_id: int, amount: str) -> None:
    rows = [a_transaction("Sale"), a_transaction("Refund", amount)]
    order = to_order(an_order(status_id, TransactionList=rows), zone=UTC)
    assert order.payment is UNKNOWN
    assert order.status.endswith(f", given back {amount}")
    assert read(status_id, TransactionList=[a_transaction("Sale", amount)]) is PAID
    rows[1] |= {"TransactionApproval": "Declined"}
    assert read(status_id, TransactionList=rows) is PAID


def test_refund_gives_nothing_back_when_it_was_declined() -> None:
    declined = a_transaction("Refund") | {"TransactionApproval": "Declined"}
    assert is_money_taken(an_order(TransactionList=[a_transaction("Sale"), declined]))


def test_order_waits_by_the_name_of_its_payment_when_nobody_has_ruled_on_that() -> None:
    sale = a_transaction("Sale") | {"TransactionApproval": "Pending review"}
    order = to_order(an_order(TransactionList=[sale]), zone=UTC)
    assert (order.status, order.payment, order.payment_unproven) == ("1 New, payment Pending review", WAITING, True)
    assert to_order(an_order(4, TransactionList=[sale]), zone=UTC).status == "4 Shipped"


def test_evidence_is_lacking_when_a_completed_order_shows_no_money() -> None:
    assert lacks_evidence(an_order(), PAID_STATUSES)
    for other in (
        an_order(BillingOnLinePayment="1"),
        an_order(OrderAmount=0),
        an_order(2),
        an_order(3),
        an_order(6),
        an_order(11),
        an_order(99),
    ):
        assert not lacks_evidence(other, PAID_STATUSES)
    assert not lacks_evidence(an_order(), frozenset({1}))


def test_labels_are_the_vendor_s_when_every_number_is_read() -> None:
    read_as = {number: reading_of(number, PAID_STATUSES) for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 21)}
    assert read_as[2] is read_as[4] is Reading.PAID
    assert read_as[8] is read_as[10] is Reading.UNLISTED
    assert read_as[7] is Reading.NO_ORDER
