"""What becomes of a hint whose order could not be read or recorded: asked again, left alone, or a person is. Pure."""

from __future__ import annotations

from datetime import timedelta

from worker.errors import AnotherRecordError, ApiError, NoAccessError, NotFoundError, WebhookRejectedError
from worker.ledger.states import DeliveryState
from worker.reasons import Reason
from worker.sources.source import NoOrderError, SampleOrderError
from workflows.planning.offers import OffersError

HOOK_OUTRAN_ROW = timedelta(minutes=15)
"""A hook may arrive before its order can be read.

For this long a 404 is asked again, then it is a question for a person.
"""


def end_of_look(error: Exception, *, age: timedelta, is_manual: bool, is_known: bool) -> tuple[DeliveryState, Reason]:
    """The state and the reason of deliveries, the oldest of them `age` old, after a look that failed with `error`.

    `is_manual`: an operator named the order and nobody else did. `is_known`: the source is configured.
    """
    reason = _reason_for(error, is_known=is_known)
    is_old = age >= HOOK_OUTRAN_ROW
    if isinstance(error, SampleOrderError):
        return DeliveryState.IGNORED, Reason.TEST_NOTIFICATION
    if isinstance(error, WebhookRejectedError | NoAccessError):
        return DeliveryState.REVIEW, reason  # neither says more when it is asked again
    if isinstance(error, NoOrderError) and is_old:
        return DeliveryState.IGNORED, reason  # the source has it, and says that it is none: an abandoned cart
    if reason is Reason.ORDER_NOT_FOUND and is_manual:
        return DeliveryState.IGNORED, reason  # somebody mistyped it, and the answer says so
    if reason in {Reason.ORDER_NOT_FOUND, Reason.RECORD_UNREADABLE} and is_old:
        return DeliveryState.REVIEW, reason
    return DeliveryState.WAITING, reason


def _reason_for(error: Exception, *, is_known: bool) -> Reason:
    if isinstance(error, OffersError):
        return Reason.OFFERS_INVALID
    if not is_known or isinstance(error, NoAccessError):
        return Reason.SOURCE_OFF
    if isinstance(error, NotFoundError | WebhookRejectedError):
        return Reason.ORDER_NOT_FOUND
    if isinstance(error, AnotherRecordError):
        return Reason.RECORD_UNREADABLE
    if isinstance(error, ApiError) and not error.retryable:
        return Reason.SOURCE_REFUSED
    return Reason.SOURCE_UNREACHABLE if isinstance(error, ApiError) else Reason.RECORD_UNREADABLE
