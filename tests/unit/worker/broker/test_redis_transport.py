"""What a worker does with the messages it holds when its broker goes away."""

from __future__ import annotations

import logging
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls, redis

from worker.broker import redis_transport
from worker.broker.redis_transport import Deliveries, Transport


@pytest.fixture
def deliveries() -> Deliveries:
    """Two messages that were taken and not acknowledged."""
    held = Deliveries.__new__(Deliveries)
    held._delivered = OrderedDict({"tag-1": object(), "tag-2": object()})
    held._dirty = set()
    held._quick_ack = held._dirty.add
    held.prefetch_count = 2
    held.channel = SimpleNamespace(connection_errors=(ConnectionError,))
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
    assert Transport.Channel.QoS is Deliveries


@pytest.mark.parametrize("error", [ConnectionError("gone"), AttributeError("'NoneType' has no 'hostname'")])
def test_worker_goes_on_when_its_messages_cannot_be_given_back(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr(redis.QoS, "restore_unacked", fails(error))
    deliveries.restore_unacked()
    assert not deliveries._delivered
    assert type(error).__name__ in caplog.text


def test_messages_are_given_back_when_the_broker_is_there(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_to: list[Any] = []
    monkeypatch.setattr(redis.QoS, "restore_unacked", lambda self, client: given_to.append(client))
    deliveries.restore_unacked("client")
    assert given_to == ["client"]


@pytest.mark.parametrize("error", [ConnectionError("cut"), AttributeError("gone")])
@pytest.mark.parametrize("call", ["ack", "reject"])
def test_place_is_free_again_when_a_message_cannot_be_acknowledged(
    deliveries: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    error: Exception,
) -> None:
    """Celery logs what an acknowledgement raises and goes on; a place that stays taken is never read for again."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(redis.QoS, call, fails(error))
    assert not deliveries.can_consume()  # type: ignore[no-untyped-call]
    getattr(deliveries, call)("tag-1")
    assert deliveries.can_consume()  # type: ignore[no-untyped-call]
    assert "could not be acknowledged" in caplog.text
