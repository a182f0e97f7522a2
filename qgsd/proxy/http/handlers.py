# SPDX-License-Identifier: GPL-2.0-or-later
"""What every answer of the service port has in common: limits, request id, errors, CORS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import struct
import time
from itertools import count
from typing import Any

from tornado.httputil import HTTPHeaders

from qgsd.config import Settings
from qgsd.messages import Timing
from qgsd.proxy.http import errors
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.responder import Responder
from qgsd.proxy.http.trace import TraceContext, context_of

logger = logging.getLogger("qgsd.http")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Headers of answers that scripts of other sites may read, beside the few that browsers show anyway.
_EXPOSED = (
    "X-Request-Id, Server-Timing, ETag, Content-Length, Content-Range, Accept-Ranges, Content-Encoding, "
    "Content-Disposition, Content-Crs, Link, Location, Retry-After"
)
_NO_TIMING = "queue;dur=0.0, load;dur=0.0, render;dur=0.0"
_serial = count()
# Unlike a random number it costs nothing, and it cannot repeat on one machine.
_ID_PREFIX = f"{time.time_ns():x}-{os.getpid():x}-"


def new_request_id() -> str:
    """An id that no other request of this machine has."""
    return f"{_ID_PREFIX}{next(_serial):x}"


def vary(headers: HTTPHeaders, name: str) -> None:
    """Note that the answer depends on a header of the request."""
    told = headers.get("Vary", "")
    if told != "*" and name.lower() not in (part.strip().lower() for part in told.split(",")):
        headers["Vary"] = f"{told}, {name}" if told else name


class ServiceHandler(Responder):
    """A handler of the service port. The body is gathered in `body`, within limits of size and time."""

    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    ogc_errors = False

    context: HttpContext
    settings: Settings
    """Those of the moment in which it came."""
    body: bytes
    request_id: str
    names_itself: bool
    """The client has given the id."""
    failure: str = ""
    trusted: bool = False
    """Whether a proxy speaks that is believed whom it asks for."""
    trace: TraceContext | None = None
    """The trace that the request belongs to; for QGIS, the place in it that what follows hangs from."""
    sent: int = 0
    """Bytes of a body whose length was not known before."""

    def initialize(self, context: HttpContext) -> None:
        self.context = context
        self.settings = context.settings
        self.started = time.monotonic()
        self._pieces: list[bytes] = []
        self._received = 0
        self._slow: asyncio.TimerHandle | None = None
        self.details: dict[str, Any] = {}
        context.busy.add(self.request.connection)
        self._believe()
        given = self.request.headers.get("X-Request-Id", "")
        self.names_itself = _REQUEST_ID.fullmatch(given) is not None
        self.request_id = given if self.names_itself else new_request_id()
        self.trace = context_of(self.request.headers)
        self._name_request()

    def _name_request(self) -> None:
        self._headers["X-Request-Id"] = self.request_id
        self._headers["Server-Timing"] = _NO_TIMING

    def _believe(self) -> None:
        """Take from a trusted proxy's headers who asks, and how."""
        request = self.request
        self.trusted = self.context.trusts(request.remote_ip or "")
        if self.trusted:
            request.remote_ip = self.context.real_client(request.remote_ip or "", request.headers)
            told = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
            request.protocol = told if told in ("http", "https") else request.protocol

    def set_timing(self, timing: Timing, cache: str = "") -> None:
        """Say where the time went, in milliseconds (W3C Server-Timing).

        `cache`: whether it was a hit or a miss, where the answer might have been kept.
        """
        queue, load, render = 1000 * timing.queue, 1000 * timing.load, 1000 * timing.render
        told = f"queue;dur={queue:.1f}, load;dur={load:.1f}, render;dur={render:.1f}"
        told += ", shared;dur=0" if timing.shared else ""
        told += f", tiles;desc={timing.tiles}" if timing.tiles else ""
        self._headers["Server-Timing"] = told + (f", cache;desc={cache}" if cache else "")

    # The body, and the limits.

    def prepare(self) -> None:
        self._cors()
        if self.context.draining:
            self.set_header("Connection", "close")
        headers = self.request.headers
        length, chunked = headers.get("Content-Length"), "Transfer-Encoding" in headers
        try:
            self._check(length, chunked=chunked)
        except HttpError as error:
            self._refuse_early(error)
            return
        if chunked or length not in (None, "0"):
            patience = self.settings.server.client_timeout
            self._slow = asyncio.get_running_loop().call_later(patience, self._too_slow)

    def _check(self, length: str | None, *, chunked: bool) -> None:
        method = self.request.method
        if method not in self.methods:
            raise HttpError(405, "method_not_allowed", f"this address answers {', '.join(self.methods)}")
        if length is None and method == "POST" and not chunked:
            raise HttpError(411, "length_required", "a POST needs Content-Length or chunked encoding")
        if length is not None and int(length) > self.settings.server.max_body_size:
            raise self._too_large()

    def _too_large(self) -> HttpError:
        limit = self.settings.server.max_body_size
        return HttpError(413, "body_too_large", f"the body is larger than {limit} bytes")

    def data_received(self, chunk: bytes) -> None:
        if self._finished:
            return
        self._received += len(chunk)
        self.context.body_bytes += len(chunk)
        if self.context.body_bytes > self.settings.server.max_bodies_size:
            message = "this server has too many large requests in hand"
            self._refuse_early(HttpError(503, "bodies_too_large", message))
            return
        if self._received > self.settings.server.max_body_size:
            self._refuse_early(self._too_large())
            return
        self._pieces.append(chunk)

    def _too_slow(self) -> None:
        patience = self.settings.server.client_timeout
        message = f"the request was not complete within {patience:g} s"
        self._refuse_early(HttpError(408, "request_timeout", message))

    def take_body(self) -> bytes:
        """The whole body; from here on the client's time no longer runs."""
        self._stop_clock()
        self.body = b"".join(self._pieces)
        self._pieces.clear()
        return self.body

    def _stop_clock(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    # Errors.

    def _refuse_early(self, error: HttpError) -> None:
        """Before the request has been read: the rest of it is not, so the connection ends, and says so."""
        if not self._headers_written:
            self.set_header("Connection", "close")
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.unread = True
        self.refuse(error)

    def refuse(self, error: HttpError) -> None:
        """Answer with an error of qgsd's own; nothing happens when the answer is out already."""
        if self._finished:
            return
        if self._headers_written:
            self.break_off()
            return
        self._stop_clock()
        self.failure = error.code
        self.set_status(error.status)
        if self.ogc_errors:
            content_type, body = errors.as_ogc_report(error.code, error.message)
        else:
            content_type, body = errors.as_json(error.code, error.message, self.request_id)
        self.set_header("Content-Type", content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        if error.status == 405:
            self.set_header("Allow", ", ".join(self.methods))
        if error.status == 503:
            self.set_header("Retry-After", str(error.retry_after or 1))
        self.finish(body)

    def break_off(self) -> None:
        """Close the connection, so that nobody takes half an answer for a whole one."""
        self._stop_clock()
        self.failure = self.failure or "broken_off"
        stream = getattr(self.request.connection, "stream", None)
        if stream is None:
            return
        if self.request.version == "HTTP/1.0" and not stream.closed():
            # There the end of the connection is the end of the answer; a reset is not.
            with contextlib.suppress(OSError):
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    def failed(self) -> None:
        """A bug: a clear word for the client, the traceback for the log only."""
        self._name_request()
        self._cors()
        self.refuse(HttpError(500, "internal_server_error", "Internal Server Error"))

    # CORS, and the end.

    def _cors(self) -> None:
        if "Origin" in self.request.headers and (allowed := self._allowed_origin()):
            self.set_header("Access-Control-Allow-Origin", allowed)
            self.set_header("Access-Control-Expose-Headers", _EXPOSED)
        self.vary_by_origin()

    def _allowed_origin(self) -> str:
        """What a page that asks is told of who may read the answer, nothing if it may not."""
        server = self.settings.server
        if not server.cross_origin:
            return ""
        asks = self.request.headers.get("Origin", "")
        return "*" if "*" in server.cross_origins else asks if asks in server.cross_origins else ""

    def vary_by_origin(self) -> None:
        """Tell caches in between where answers to some sites are not for others."""
        server = self.settings.server
        if server.cross_origin and "*" not in server.cross_origins:
            vary(self._headers, "Origin")

    def options(self) -> None:
        """What may be done here, and the answer to a CORS preflight."""
        self.set_header("Allow", ", ".join(self.methods))
        if allowed := self._allowed_origin():
            self.set_header("Access-Control-Allow-Origin", allowed)
            self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods))
            asked = self.request.headers.get("Access-Control-Request-Headers")
            self.set_header("Access-Control-Allow-Headers", asked or "Content-Type, Authorization")
            self.set_header("Access-Control-Max-Age", "86400")
        self.set_status(204)

    def _forget_body(self) -> None:
        # At once: the handler itself is in a circle that only the garbage collector ends.
        self._pieces.clear()
        self.body = b""
        self.context.body_bytes -= self._received
        self._received = 0

    def on_finish(self) -> None:
        self._stop_clock()
        self._forget_body()
        self.context.busy.discard(self.request.connection)
        for told in self.context.on_finished:
            told(self)
        self.context.row.requests += 1
        if self.get_status() >= 500:
            self.context.row.errors += 1

    def on_connection_close(self) -> None:
        # Who waits for the rest of the body is told; it would wait, and be kept, for ever.
        super().on_connection_close()
        self._stop_clock()
        self._forget_body()
        self.context.busy.discard(self.request.connection)
