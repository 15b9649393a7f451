"""What a worker does with the messages it holds when its broker goes away."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls

from worker.broker import redis_transport
from worker.broker.redis_transport import Deliveries, Transport


@pytest.fixture
def deliveries() -> Deliveries:
    """Two messages that were taken and not acknowledged."""
    held = Deliveries(SimpleNamespace(connection_errors=(ConnectionError,), do_restore=False), prefetch_count=2)  # type: ignore[no-untyped-call]
    for tag in ("tag-1", "tag-2"):
        held.append(f"message of {tag}", tag)  # type: ignore[no-untyped-call]
    return held


def fails(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_transport_is_ours_when_a_broker_is_redis() -> None:
    redis_transport.install()
    redis_transport.install()
    for scheme in ("redis", "rediss"):
        assert TRANSPORT_ALIASES[scheme] == "worker.broker.redis_transport:Transport"
        assert get_transport_cls(scheme) is Transport


@pytest.mark.parametrize("error", [ConnectionError("gone"), AttributeError("'NoneType' has no 'hostname'")])
def test_worker_goes_on_when_its_messages_cannot_be_given_back(
    deliveries: Deliveries, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    deliveries.channel._restore_at_beginning = fails(error)
    assert deliveries.restore_unacked() == []
    assert not deliveries._delivered
    assert type(error).__name__ in caplog.text


def test_messages_that_are_not_done_are_given_back_when_the_broker_is_there(deliveries: Deliveries) -> None:
    given_back: list[Any] = []
    deliveries.channel._restore_at_beginning = given_back.append
    deliveries.ack("tag-1")  # type: ignore[no-untyped-call]
    assert deliveries.restore_unacked() == []
    assert given_back == ["message of tag-2"]


def test_place_is_free_again_when_a_message_is_acknowledged(deliveries: Deliveries) -> None:
    """Without a word to the broker, which may be away: what is read from it is off the queue."""
    assert not deliveries.can_consume()  # type: ignore[no-untyped-call]
    deliveries.ack("tag-1")  # type: ignore[no-untyped-call]
    assert deliveries.can_consume()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("error", [ConnectionError("cut"), AttributeError("gone")])
def test_place_is_free_again_when_a_message_cannot_be_given_back(
    deliveries: Deliveries, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Celery logs what this raises and goes on; a place that stays taken is never read for again."""
    caplog.set_level(logging.WARNING)
    deliveries.channel._restore_at_beginning = fails(error)
    deliveries.reject("tag-1", requeue=True)
    assert deliveries.can_consume()  # type: ignore[no-untyped-call]
    assert "could not be given back" in caplog.text
