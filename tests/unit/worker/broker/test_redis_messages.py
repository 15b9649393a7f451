"""`worker.broker.redis_transport`: a message is read as it stands."""

from __future__ import annotations

import base64
import zlib
from types import SimpleNamespace

import pytest

from worker.broker.redis_transport import Channel

PACKED = base64.b64encode(zlib.compress(b" " * (64 << 20), 9)).decode()


@pytest.mark.parametrize("compression", ["application/x-gzip", "zlib", "application/x-bz2", "planted"])
def test_message_is_refused_before_it_is_unpacked_when_it_says_that_it_is_packed(compression: str) -> None:
    payload = {"body": PACKED, "properties": {"delivery_tag": "x"}, "headers": {"compression": compression}}
    with pytest.raises(ValueError, match="packed"):
        Channel.Message(payload)


@pytest.mark.parametrize("headers", [{}, {"compression": None}])
def test_message_is_read_when_it_is_not_packed(headers: dict[str, None]) -> None:
    payload = {
        "body": "[]",
        "content-type": "application/json",
        "properties": {"delivery_tag": "x"},
        "headers": headers,
    }
    channel = SimpleNamespace(decode_body=lambda body, *_: body)
    assert Channel.Message(payload, channel).payload == []
