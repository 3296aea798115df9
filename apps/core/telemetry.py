"""Traces by OpenTelemetry: requests, runs, calls to models, jobs; nothing at all without an OTLP endpoint.

The standard variables apply: OTEL_EXPORTER_OTLP_ENDPOINT switches it on. All work on one bead is one trace.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

_tracer = trace.get_tracer("loom")


def is_wanted() -> bool:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return bool(endpoint or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def requests_instrument() -> None:
    """Trace HTTP requests; to be called before the ASGI application is made."""
    if is_wanted():
        from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415 - costs a start

        DjangoInstrumentor().instrument()


def telemetry_start(service: str) -> None:
    """Send spans from this process; after any fork, since the exporter has a thread of its own."""
    if not is_wanted():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"loom-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    with span("start"):  # so that restarts can be seen, and that a process is traced at all
        pass


@contextmanager
def span(name: str, *, story: str = "", **attributes: AttributeValue) -> Iterator[Span]:
    """A span; `story` names the trace it belongs to across processes and restarts."""
    context = _story(story) if story else None
    given = {key.replace("__", "."): value for key, value in attributes.items()}
    with _tracer.start_as_current_span(name, context=context, attributes=given) as current:
        yield current


def _story(name: str) -> Context:
    """A parent that every process derives alike from the story's name."""
    digest = hashlib.sha256(name.encode()).digest()
    parent = SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(NonRecordingSpan(parent))
