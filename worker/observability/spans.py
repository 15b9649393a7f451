"""Tracing by OpenTelemetry's SDK. Imported only where the extra `tracing` is installed and asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from worker.observability.tracing import Attribute, Tracing

SERVICE = "cartbridge"
EXPORT_SECONDS = 3.0
"""What sending a batch takes at most, its repetitions included: a collector that hangs must not hold up a stop."""
_forced_ids: ContextVar[tuple[int, int] | None] = ContextVar("forced_ids", default=None)


class SpanTracing(Tracing):
    """Makes spans and hands them to a processor. Safe to share between threads."""

    is_on = True

    def __init__(self, processor: SpanProcessor, process: str) -> None:
        resource = Resource.create({"service.name": SERVICE, "service.instance.id": process})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(SERVICE)

    def delivery(
        self, name: str, delivery_id: str, *, began_at_ns: int | None = None, **attributes: Attribute
    ) -> AbstractContextManager[None]:
        ids = (trace_id_of(delivery_id), _root_id_of(delivery_id))
        return self._span(name, attributes, Context(), ids=ids, began_at_ns=began_at_ns)

    def within(self, name: str, delivery_id: str | None, **attributes: Attribute) -> AbstractContextManager[None]:
        context = None
        if delivery_id is not None and _trace_under_way() != trace_id_of(delivery_id):
            root = trace.SpanContext(
                trace_id_of(delivery_id),
                _root_id_of(delivery_id),
                is_remote=True,
                trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(root), Context())
        return self._span(name, attributes, context)

    def note(self, **attributes: Attribute) -> None:
        trace.get_current_span().set_attributes(_given(attributes))

    def close(self) -> None:
        self._provider.shutdown()

    @contextmanager
    def _span(
        self,
        name: str,
        attributes: Mapping[str, Attribute],
        context: Context | None,
        *,
        ids: tuple[int, int] | None = None,
        began_at_ns: int | None = None,
    ) -> Iterator[None]:
        token = _forced_ids.set(ids)
        try:
            span = self._tracer.start_span(name, context=context, attributes=_given(attributes), start_time=began_at_ns)
        finally:
            _forced_ids.reset(token)
        # An exception's text may quote what was sent: its kind alone is told.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
                raise


class _Ids(RandomIdGenerator):
    """Random ids, but for the root of a delivery's trace."""

    def generate_span_id(self) -> int:
        ids = _forced_ids.get()
        return super().generate_span_id() if ids is None else ids[1]

    def generate_trace_id(self) -> int:
        ids = _forced_ids.get()
        return super().generate_trace_id() if ids is None else ids[0]


def send_spans_to(endpoint: str, process: str) -> SpanTracing:
    """Tracing that sends to an OTLP collector over HTTP, in the background; what it does not take is dropped."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
    return SpanTracing(BatchSpanProcessor(exporter), process)


def trace_id_of(delivery_id: str) -> int:
    """The trace of a delivery: 128 bits, never 0."""
    return int.from_bytes(hashlib.sha256(f"trace/{delivery_id}".encode()).digest()[:16], "big") or 1


def _root_id_of(delivery_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"root/{delivery_id}".encode()).digest()[:8], "big") or 1


def _trace_under_way() -> int:
    return trace.get_current_span().get_span_context().trace_id


def _given(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    return {f"cartbridge.{name}": value for name, value in attributes.items() if value is not None}
