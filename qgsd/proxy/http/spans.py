# SPDX-License-Identifier: GPL-2.0-or-later
"""Spans of requests for OpenTelemetry: the request, and in it queue, load and render.

Imported only where `qgsd.telemetry` says so. Everything else follows OpenTelemetry's own variables: sampling
(OTEL_TRACES_SAMPLER), batches (OTEL_BSP_*), limits, where spans go (OTEL_EXPORTER_OTLP_*).

All spans are made here, when the answer is complete, of the seconds that workers and dispatcher have told:
so clocks of other machines do not matter, and a worker needs nothing of this. Only the id of the rendering
is drawn before, because plugins are told it as the parent of what they do.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from qgsd import __version__
from qgsd.messages import Timing
from qgsd.proxy.http import trace
from qgsd.proxy.http.access_log import visit_of
from qgsd.repeats import Repeats

if TYPE_CHECKING:
    from qgsd.proxy.http.handlers import ServiceHandler
    from qgsd.proxy.http.qgis import QgisHandler

logger = logging.getLogger("qgsd.http")

_BILLION = 1_000_000_000
# Seconds that the last spans may take to be sent when the child leaves.
_LAST = 2.0
_PAUSE = 60.0
_KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

Attributes = dict[str, str | int]


class _Ids(RandomIdGenerator):
    """Random, but for a span whose id was drawn before."""

    planned = 0

    def generate_span_id(self) -> int:
        id, self.planned = self.planned, 0
        return id or super().generate_span_id()


class RequestSpan:
    """The span of a request that is under way. `render_id`: what the span of its rendering will be called."""

    def __init__(self, span: api.Span, render_id: int, started: float, epoch: int) -> None:
        """It `started` (monotonic seconds) in the nanosecond `epoch` since 1970."""
        self.span = span
        self.render_id = render_id
        self._started = started
        self._epoch = epoch

    def at(self, moment: float) -> int:
        """A moment of the monotonic clock in nanoseconds since 1970."""
        return self._epoch + int((moment - self._started) * _BILLION)


class Spans:
    """Makes the spans of one http child and has them sent, in a thread of OpenTelemetry's."""

    def __init__(self, instance: str) -> None:
        ours = {
            "service.name": "qgsd",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}/{instance}",
        }
        # What the environment says counts more (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES).
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._ids = _Ids()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        _tell_troubles()
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("qgsd", __version__)

    # A request that a handler has understood.

    def begin(self, handler: QgisHandler) -> None:
        """A request is here. What follows belongs to its trace: `handler.trace`."""
        asked, now = _asked(handler), time.time_ns()
        context = _context(handler.trace)
        span = self._tracer.start_span(_name(asked), context, SpanKind.SERVER, asked, start_time=now)
        handler.span = RequestSpan(span, self._ids.generate_span_id(), handler.started, now)
        own, render = span.get_span_context(), f"{handler.span.render_id:016x}"
        state = own.trace_state.to_header()
        handler.trace = trace.made(f"{own.trace_id:032x}", render, own.trace_flags, state)

    def __call__(self, finished: ServiceHandler) -> None:
        """The answer is complete."""
        begun: RequestSpan | None = getattr(finished, "span", None)
        if begun is None or not begun.span.is_recording():
            return
        handler: QgisHandler = finished  # type: ignore[assignment]
        end = begun.at(time.monotonic())
        begun.span.set_attributes(_answered(handler))
        if handler.get_status() >= 500:
            begun.span.set_status(Status(StatusCode.ERROR))
        timing: Timing | None = handler.details.get("timing")
        if timing is not None and handler.exchange is not None:
            self._phases(begun, handler.exchange.submitted, timing, end, handler.details.get("worker", ""))
        begun.span.end(end)

    def _phases(self, begun: RequestSpan, submitted: float, timing: Timing, end: int, worker: str) -> None:
        """The children: one after the other, as they are in the worker's and the dispatcher's account."""
        inside = api.set_span_in_context(begun.span, Context())
        at = submitted
        for name, seconds in (("queue", timing.queue), ("load", timing.load), ("render", timing.render)):
            start, at = at, at + seconds
            if name == "load" and not seconds:
                continue
            if name == "render":
                self._ids.planned = begun.render_id
            about = {} if name == "queue" else {"qgsd.worker": worker}
            child = self._tracer.start_span(
                name, inside, attributes=about, start_time=min(begun.at(start), end)
            )
            child.end(min(begun.at(at), end))

    # One that was answered before it was understood.

    def attributes(self, handler: QgisHandler) -> Attributes:
        """What all answers to requests of this head have in common."""
        return _asked(handler) | _answered(handler)

    def hit(self, attributes: Attributes, client: str, id: str, began: float) -> str:
        """The span of a kept answer that took from `began` till now; its trace."""
        now = time.time_ns()
        start = now - int((time.monotonic() - began) * _BILLION)
        told = attributes | {"client.address": client, "qgsd.request_id": id}
        span = self._tracer.start_span(
            _name(attributes), Context(), SpanKind.SERVER, attributes=told, start_time=start
        )
        span.end(now)
        return f"{span.get_span_context().trace_id:032x}"

    def close(self) -> None:
        """Send what is left, if the receiver takes it soon."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST)


def _context(caller: trace.TraceContext | None) -> Context:
    if caller is None:
        return Context()
    flags = TraceFlags(int(caller.parent[53:55], 16))
    state = TraceState.from_header([caller.state]) if caller.state else None
    remote = SpanContext(int(caller.trace_id, 16), int(caller.parent_id, 16), True, flags, state)
    return api.set_span_in_context(api.NonRecordingSpan(remote), Context())


def _name(asked: Attributes) -> str:
    """The method and the route, of which there are few."""
    return " ".join(str(asked[key]) for key in ("http.request.method", "http.route") if key in asked)


def _asked(handler: QgisHandler) -> Attributes:
    """OpenTelemetry's names for what every HTTP server knows of a request."""
    request = handler.request
    told: Attributes = {
        "http.request.method": request.method if request.method in _KNOWN_METHODS else "_OTHER",
        "url.scheme": request.protocol,
        "url.path": request.path,
        "url.query": request.query,
        "client.address": request.remote_ip or "",
        "user_agent.original": request.headers.get("User-Agent", ""),
        "network.protocol.version": request.version.removeprefix("HTTP/"),
    }
    if handler.route:
        told["http.route"] = handler.route
    return {name: value for name, value in told.items() if value != ""}


def _answered(handler: QgisHandler) -> Attributes:
    visit = visit_of(handler)
    told: Attributes = {
        "http.response.status_code": visit.status,
        "http.response.body.size": visit.size or 0,
        "qgsd.request_id": visit.id,
        "qgsd.project": visit.project,
        "qgsd.service": visit.service,
        "qgsd.request": visit.request,
        "qgsd.worker": visit.worker,
        "qgsd.cache": visit.cache,
        "error.type": visit.error or (str(visit.status) if visit.status >= 500 else ""),
    }
    return {name: value for name, value in told.items() if value != ""}


class _Troubles(logging.Handler):
    """What OpenTelemetry complains of, which at each batch is the same: once a minute, in our log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._repeats = Repeats(_PAUSE)

    def emit(self, record: logging.LogRecord) -> None:
        # The text with its figures would be another one each time.
        if self._repeats.told(str(record.msg), time.monotonic()) is not None:
            logger.warning("traces: %s", record.getMessage())


def _tell_troubles() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    theirs.handlers = [_Troubles()]
