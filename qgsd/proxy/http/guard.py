# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients may do before a handler knows them, by the settings of the moment; what others are told."""

from __future__ import annotations

import re
import time
from http import HTTPStatus

from tornado.httputil import format_timestamp

from qgsd.proxy.http import errors, heads
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import new_request_id

_FOREVER = 366 * 86400.0
_ANY = 1 << 30
# Method, version, blanks and line ends beside the address and the headers.
_ROOM = 1024
_OWS = re.compile(rb"\S* /ows/?(?:[? ]|$)")


class ClientGuard:
    """See `stream.Guard` and `port.DoorGuard`."""

    def __init__(self, context: HttpContext) -> None:
        self._context = context

    @property
    def head(self) -> float:
        return self._context.settings.server.client_timeout

    @property
    def silence(self) -> float:
        return self._context.settings.server.keepalive_timeout or _FOREVER

    @property
    def stall(self) -> float:
        return self._context.settings.server.send_timeout

    @property
    def largest_head(self) -> int:
        limits = self._context.settings.server
        return limits.max_uri_size + limits.max_header_size + _ROOM

    @property
    def most(self) -> int:
        return self._context.settings.server.max_connections or _ANY

    def most_of(self, client: str) -> int:
        """A trusted proxy speaks for many."""
        limit = self._context.settings.server.max_connections_per_address
        return _ANY if not limit or self._context.trusts(client) else limit

    def examine(self, head: bytes, client: str) -> bytes | None:
        limits = self._context.settings.server
        flaw = heads.flaw_of(head, limits.max_uri_size, limits.max_header_size)
        return self._refusal(flaw, head, client) if flaw is not None else None

    def too_slow(self, head: bytes, client: str) -> bytes:
        message = f"the request was not complete within {self.head:g} s"
        return self._refusal(HttpError(408, "request_timeout", message), head, client)

    def too_large(self, head: bytes, client: str) -> bytes:
        limits = self._context.settings.server
        flaw = heads.flaw_of(head, limits.max_uri_size, limits.max_header_size)
        if flaw is None or flaw.status not in (414, 431):
            flaw = HttpError(431, "headers_too_large", "the head of the request is too large")
        return self._refusal(flaw, head, client)

    def malformed(self, head: bytes, client: str) -> bytes:
        return self._refusal(HttpError(400, "malformed", "the request is not HTTP/1.1"), head, client)

    def crowded(self, client: str) -> bytes:
        limit = self._context.settings.server.max_connections_per_address
        message = f"this address has {limit} connections open, no further ones are accepted"
        return self._refusal(HttpError(503, "too_many_connections", message, 1), b"", client)

    def _refusal(self, error: HttpError, head: bytes, client: str) -> bytes:
        """The answer as handlers would write it, and its line in the access log."""
        request_id = new_request_id()
        if _OWS.match(head.lstrip(b"\r\n")):
            content_type, body = errors.as_ogc_report(error.code, error.message)
        else:
            content_type, body = errors.as_json(error.code, error.message, request_id)
        lines = [
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
            "Server: qgsd",
            f"Date: {format_timestamp(time.time())}",
            f"X-Request-Id: {request_id}",
            "Server-Timing: queue;dur=0.0, load;dur=0.0, render;dur=0.0",
            f"Content-Type: {content_type}",
            "X-Content-Type-Options: nosniff",
            f"Content-Length: {len(body)}",
            *([f"Retry-After: {error.retry_after}"] if error.retry_after else []),
            "Connection: close",
        ]
        row = self._context.row
        row.requests += 1
        if error.status >= 500:
            row.errors += 1
        first = head.lstrip(b"\r\n").partition(b"\r\n")[0][:_ROOM].decode("latin-1")
        self._context.access_log.refused(client, first, error.status, len(body), request_id, error.code)
        return "\r\n".join([*lines, "", ""]).encode() + body
