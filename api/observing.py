"""Around every request: its id, a log line, its share of the metrics, and its span where traces are wanted."""

import asyncio
import logging
import re
import time
from contextlib import suppress
from secrets import token_hex
from typing import Any

from litestar.types import ASGIApp, HTTPResponseStartEvent, Receive, Send

from api.metrics import Metrics
from qgjob import logs, tracing
from qgjob.tracing import Tracing

log = logging.getLogger("api.requests")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SWALLOWED = 32 * 1024 * 1024
SENDS_NOTHING_S = 1
UNWATCHED = ("/health", "/metrics")  # asked by machines all the time
# So are these, for as long as a worker has nothing to do; a claim that finds something has a span of the worker's.
# By path, for a span begins before the route is known.
UNTRACED = re.compile(r"/workers/\d+/(heartbeat|claims)")


class Observed:
    def __init__(self, app: ASGIApp, metrics: Metrics, traces: Tracing | None) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces
        self._logged = logs.is_json()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else token_hex(8)
        parent = tracing.checked(headers.get(b"traceparent", b"").decode("latin-1"))
        watched = scope["path"] not in UNWATCHED
        traced = watched and not UNTRACED.fullmatch(scope["path"])
        span = request_span(self._traces, scope, parent) if self._traces and traced else None
        status = 500
        body = Body(receive)
        began = time.perf_counter()

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                start: HTTPResponseStartEvent = message
                status = start["status"]
                if status == 413:
                    await body.swallow()
                start["headers"] = [*start["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        tracing.current.set(tracing.context_of(span) if span else parent)
        scope["request_id"] = request_id
        logs.bind(request_id=request_id)
        try:
            await self._app(scope, body.receive, answer)
        finally:
            seconds = time.perf_counter() - began
            route = str(scope.get("path_template") or "unknown")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.observe(method, route, status, seconds)
            if span:
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                span.end()
            if self._logged and watched:
                fields = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000),
                }
                log.info("%s %s: %s", scope["method"], scope["path"], status, extra={"fields": fields})


class Body:
    """What of the request's body has been read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Any:
        message: Any = await self._receive()
        self._ended = not message.get("more_body", False)
        return message

    async def swallow(self) -> None:
        """Whoever is still sending when the connection closes is told of that instead of the refusal."""
        read = 0
        with suppress(TimeoutError):
            while not self._ended and read < SWALLOWED:
                async with asyncio.timeout(SENDS_NOTHING_S):
                    read += len((await self.receive()).get("body", b""))


def request_span(traces: Tracing, scope: Any, parent: str | None) -> Any:
    from opentelemetry.trace import SpanKind

    attributes: dict[str, str | int | bool] = {"http.request.method": scope["method"], "url.path": scope["path"]}
    return traces.begin(scope["method"], parent, SpanKind.SERVER, attributes)
