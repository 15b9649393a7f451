from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.errors import ConfigurationError
from worker.observability.spans import SpanTracing, trace_id_of
from worker.observability.tracing import OFF, tracing, use_tracing
from worker.observability.tracing_setup import configure_tracing
from worker.settings.features import TracingSettings


class Collector:
    """Another process's tracing, and what it sent."""

    def __init__(self) -> None:
        self.sent = InMemorySpanExporter()
        self.tracing = SpanTracing(SimpleSpanProcessor(self.sent), "test")

    def span(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self.sent.get_finished_spans() if span.name == name)
        return found


@pytest.fixture
def web() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.tracing.close()


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def test_processes_share_a_trace_when_they_work_on_one_delivery(web: Collector) -> None:
    worker = Collector()
    with web.tracing.delivery("webhook", "d1", source="studiocart"):
        pass
    with worker.tracing.within("step", "d1", step="add_customer"), worker.tracing.within("call", "d1"):
        worker.tracing.note(http_status=200, outcome=None)
    root, step, call = web.span("webhook"), worker.span("step"), worker.span("call")
    assert {ids(span)[0] for span in (root, step, call)} == {trace_id_of("d1")}
    assert root.parent is None
    assert step.parent is not None
    assert step.parent.span_id == ids(root)[1]
    assert call.parent is not None
    assert call.parent.span_id == ids(step)[1]
    assert dict(call.attributes or {}) == {"cartbridge.http_status": 200}
    worker.tracing.close()


def test_deliveries_have_traces_of_their_own_when_one_follows_another(web: Collector) -> None:
    with web.tracing.delivery("webhook", "d1"), web.tracing.within("inner", None):
        pass
    with web.tracing.within("later", "d2"):
        pass
    with web.tracing.within("beat", None):
        pass
    assert ids(web.span("inner"))[0] == trace_id_of("d1")
    assert ids(web.span("later"))[0] == trace_id_of("d2")
    assert ids(web.span("beat"))[0] not in {trace_id_of("d1"), trace_id_of("d2")}
    assert len({ids(span)[1] for span in web.sent.get_finished_spans()}) == 4


def test_kind_of_an_error_is_told_and_its_text_is_not_when_a_span_fails(web: Collector) -> None:
    with pytest.raises(ValueError, match="planted"), web.tracing.within("step", "d1"):
        raise ValueError("planted secret")
    span = web.span("step")
    assert span.status.description == "ValueError"
    assert "planted" not in span.to_json()


def test_nothing_happens_when_tracing_is_off() -> None:
    with OFF.delivery("webhook", "d1"), OFF.within("step", "d1"):
        OFF.note(outcome="ok")
    OFF.close()
    assert not OFF.is_on
    assert configure_tracing(TracingSettings(), "p1") is OFF


def test_missing_packages_are_named_when_tracing_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'cartbridge\[tracing\]'"):
        configure_tracing(TracingSettings(endpoint="http://127.0.0.1:4318"), "p1")


def test_process_has_the_tracing_it_was_given_when_an_address_is_set() -> None:
    made = configure_tracing(TracingSettings(endpoint="http://127.0.0.1:4318"), "p1")
    try:
        assert tracing() is made
        assert made.is_on
    finally:
        use_tracing(OFF)
        made.close()
