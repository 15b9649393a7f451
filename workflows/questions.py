"""Questions to a person that may be asked anew once they were answered: each asking has a key of its own."""

from __future__ import annotations

from collections.abc import Mapping

from worker.ledger.states import RunState
from worker.sources.order import Payment
from workflows.plan import KnownRun
from workflows.reasons import Reason

CANCEL_REASONS = {
    Payment.CANCELLED: (Reason.CANCELLED_BY_SOURCE, Reason.CANCELLED_AFTER_PROVISIONING),
    Payment.REFUNDED: (Reason.REFUNDED_BY_SOURCE, Reason.REFUNDED_AFTER_PROVISIONING),
}
"""Why a withdrawn order's runs end: before their effect, and as a question after it."""
REVOCATION_REASONS = frozenset(
    {
        Reason.CANCELLED_AFTER_PROVISIONING,
        Reason.REFUNDED_AFTER_PROVISIONING,
        Reason.REMOVED_AFTER_PROVISIONING,
        Reason.PLACE_LOST_AFTER_PROVISIONING,
    }
)
"""Why access may have to be taken back. The same seat paid for again settles the question."""


def closed_by_operator(run: KnownRun) -> bool:
    """Whether an operator gave the answer: done by hand, or cancelled."""
    return run.state is RunState.SUCCEEDED or (run.state is RunState.CANCELLED and run.cancelled_by == "operator")


def last_asked(by_key: Mapping[str, KnownRun], key: str) -> tuple[KnownRun | None, str]:
    """The latest asking of a question, None if it was never asked, and the key for asking anew."""
    asked, number = by_key.get(key), 1
    while (later := by_key.get(f"{key}-{number + 1}")) is not None:
        asked, number = later, number + 1
    return asked, key if asked is None else f"{key}-{number + 1}"
