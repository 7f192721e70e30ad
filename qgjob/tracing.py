"""OpenTelemetry, only where OTEL_EXPORTER_OTLP_ENDPOINT or the like asks for it: nothing is imported otherwise.

A run carries the W3C trace context of its submission, so that command, request, claim and attempts are one trace.
"""

from __future__ import annotations

import os
import re
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING

from qgjob import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# The trace context of the request that is being answered.
current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def is_wanted() -> bool:
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


def checked(traceparent: str | None) -> str | None:
    """None for what is no trace context."""
    return traceparent if traceparent is not None and TRACEPARENT.fullmatch(traceparent) else None


def of_command() -> str | None:
    """The trace that a command belongs to: its caller's (TRACEPARENT), or one of its own where traces are wanted."""
    caller = checked(os.environ.get("TRACEPARENT"))
    if caller is None and is_wanted():
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return caller


class Tracing:
    """Spans of one service, sent to where OTEL_* says by the SDK's own rules."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("qgjob", __version__)

    def begin(
        self,
        name: str,
        parent: str | None,
        kind: SpanKind,
        attributes: dict[str, str | int | bool],
        start_ns: int | None = None,
    ) -> Span:
        """`parent` is a trace context; None begins a trace."""
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = Context()
        if parent is not None:
            context = TraceContextTextMapPropagator().extract({"traceparent": parent}, context)
        return self._tracer.start_span(name, context, kind, attributes, start_time=start_ns)

    def close(self) -> None:
        """Send what has not been sent, for a few seconds at most."""
        self._provider.force_flush(3_000)
        self._provider.shutdown()


def context_of(span: Span) -> str:
    """What a child of this span is begun with."""
    of = span.get_span_context()
    return f"00-{of.trace_id:032x}-{of.span_id:016x}-{int(of.trace_flags):02x}"


def start(service: str) -> Tracing | None:
    """None where nobody wants traces."""
    if not is_wanted():
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
    provider = TracerProvider(resource=Resource.create({**named, SERVICE_VERSION: __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
