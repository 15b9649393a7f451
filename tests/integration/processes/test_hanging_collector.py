"""A collector of traces that takes a connection and answers nothing does not hold up a process that stops."""

from __future__ import annotations

import socket
from time import monotonic

import pytest

from worker.observability import spans


def test_process_stops_in_time_when_the_collector_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spans.EXPORT_SECONDS <= 5
    monkeypatch.setattr(spans, "EXPORT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as collector:
        tracing = spans.send_spans_to(f"http://127.0.0.1:{collector.getsockname()[1]}", "process")
        with tracing.delivery("webhook", "d1", source="studiocart"):
            pass
        begun = monotonic()
        tracing.close()
    assert monotonic() - begun < 9
