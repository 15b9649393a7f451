"""What a worker does with the messages it holds when its broker goes away."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import pytest
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls, redis

from worker import redis_transport
from worker.redis_transport import Deliveries, Transport


@pytest.fixture
def deliveries() -> Deliveries:
    """Two messages that were taken and not acknowledged."""
    held = Deliveries.__new__(Deliveries)
    held._delivered = OrderedDict({"tag-1": object(), "tag-2": object()})
    return held


def fails(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_transport_is_ours_when_a_broker_is_redis() -> None:
    redis_transport.install()
    redis_transport.install()
    for scheme in ("redis", "rediss"):
        assert TRANSPORT_ALIASES[scheme] == "worker.redis_transport:Transport"
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


def test_acknowledging_fails_quietly_only_when_the_connection_was_taken_down(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(redis.QoS, "ack", fails(AttributeError("gone")))
    deliveries.ack("tag-1")
    assert "could not be acknowledged" in caplog.text
    monkeypatch.setattr(redis.QoS, "ack", fails(ConnectionError("cut")))
    with pytest.raises(ConnectionError):  # which Celery knows how to mend
        deliveries.ack("tag-1")
