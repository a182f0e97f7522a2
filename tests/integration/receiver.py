# SPDX-License-Identifier: GPL-2.0-or-later
"""A receiver of traces as OTLP/HTTP has it: it takes POSTs of protobuf and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.waiting import wait_for


@dataclass
class Span:
    """One span with what is around it; times in seconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start: float
    end: float
    failed: bool
    state: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _span(told: Any, attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    ids = told.trace_id.hex(), told.span_id.hex(), told.parent_span_id.hex()
    times = told.start_time_unix_nano / 1e9, told.end_time_unix_nano / 1e9
    failed = told.status.code == told.status.STATUS_CODE_ERROR
    return Span(told.name, *ids, told.kind, *times, failed, told.trace_state, attributes, resource)


@dataclass
class Receiver:
    spans: list[Span] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.append((self.path, dict(self.headers)))
                receiver.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, message: ExportTraceServiceRequest) -> None:
        for told in message.resource_spans:
            resource = {pair.key: _value(pair.value) for pair in told.resource.attributes}
            for scope in told.scope_spans:
                for span in scope.spans:
                    attributes = {pair.key: _value(pair.value) for pair in span.attributes}
                    self.spans.append(_span(span, attributes, resource))

    def of_request(self, id: str) -> dict[str, Span]:
        """The spans of a request by their names; its own as "request"."""

        def found() -> Span | None:
            return next(
                (span for span in list(self.spans) if span.attributes.get("qgsd.request_id") == id), None
            )

        request = wait_for(f"the span of {id}", found)
        children = [span for span in list(self.spans) if span.parent_id == request.span_id]
        return {"request": request} | {span.name: span for span in children}
