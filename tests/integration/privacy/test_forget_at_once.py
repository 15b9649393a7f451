"""Somebody is forgotten while their order, or news of them, is being recorded: they do not come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.integration.privacy.forgetting import LATER, everything, finish, states
from tests.unit.workflows.fakes.storefront import JANE, NOW, START, an_order, offers, record
from worker.ledger.exclusion import shut_out_writers
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.follow_on.completions import CompletionState
from worker.ledger.learners.erasure import StillNeededError, find_person, forget
from worker.ledger.session import Ledger
from worker.reasons import Reason
from worker.sources.subscription import Access, Subscription
from workflows.follow_on.completion_progress import Progress
from workflows.follow_on.completions import record_progress
from workflows.operations.forgetting import Forgotten, LedgerBusyError, forget_person
from workflows.recording.order_recording import Look, record_order
from workflows.recording.subscription_status import DEFAULT_RULES, record_subscription

ENOUGH_SECONDS = 30.0


def order_of_hers(connection: Connection) -> None:
    record_order(connection, an_order("1050"), offers(), Look(fetched_at=LATER), now=LATER, start_at=START)


def subscription_of_hers(connection: Connection) -> None:
    bought = Subscription(source="studiocart", id="9", access=Access.LIVE, buyer_email=JANE.email, product_id="1107")
    record_subscription(connection, bought, DEFAULT_RULES, fetched_at=LATER, now=LATER)


def completion_of_hers(connection: Connection) -> None:
    assert completion_rows.take_poll(connection, holder="a", now=LATER, lease_seconds=60.0) is not None
    state = CompletionState.COMPLETED
    told = Progress("5/77/-", state, customer_id="5", course_id="77", email=JANE.email, name="Jane Doe")
    record_progress(connection, [told], now=LATER, sends_events=True)


NEWS = [order_of_hers, subscription_of_hers, completion_of_hers]


@pytest.fixture
def known(ledger: Ledger) -> Ledger:
    record(ledger, an_order())
    finish(ledger)
    with ledger.write() as connection:
        completion_rows.take_poll(connection, holder="a", now=NOW, lease_seconds=0.0)
    return ledger


@contextmanager
def waiting_for(ledger: Ledger, call: Callable[[], Any]) -> Iterator[Connection]:
    """A transaction at whose end `call`, in another thread, has waited for it, and goes on."""
    thread = threading.Thread(target=call, daemon=True)
    with ledger.write() as connection:
        yield connection
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(ENOUGH_SECONDS)
    assert not thread.is_alive()


@pytest.mark.parametrize("news", NEWS)
def test_news_is_without_them_when_it_comes_while_they_are_forgotten(
    known: Ledger, news: Callable[[Connection], None]
) -> None:
    def take_in() -> None:
        with known.write() as connection:
            news(connection)

    with waiting_for(known, take_in) as connection:
        assert shut_out_writers(connection)
        forget(connection, find_person(connection, JANE.email), now=NOW, actor="operator:ann", reason=None)
    assert "jane" not in everything(known)
    assert states(known) in ([("succeeded", None)], [("succeeded", None), ("review", Reason.LEARNER_ERASED)])


@pytest.mark.parametrize("news", NEWS)
def test_forgetting_waits_when_news_of_them_is_being_recorded(
    known: Ledger, tmp_path: Path, news: Callable[[Connection], None]
) -> None:
    how: dict[str, Any] = {"erasures_path": tmp_path / "erasures.jsonl", "actor": "operator:ann", "reason": None}
    done: list[Forgotten | Exception] = []

    def forget_her() -> None:
        try:
            done.append(forget_person(known, JANE.email, now=LATER, **how))
        except StillNeededError as error:
            done.append(error)

    with waiting_for(known, forget_her) as connection:
        news(connection)
        if not known.is_sqlite:
            with pytest.raises(LedgerBusyError, match="Nothing was forgotten"):
                forget_person(known, JANE.email, now=LATER, give_up_seconds=0.0, **how)
    [came] = done
    if news is order_of_hers:  # which needs to know whom it is for
        assert isinstance(came, StillNeededError)
    else:
        assert "jane" not in everything(known)
