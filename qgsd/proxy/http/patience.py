# SPDX-License-Identifier: GPL-2.0-or-later
"""How long clients may take, by the settings of the moment, and what the slow ones are told."""

from __future__ import annotations

import time

from tornado.httputil import format_timestamp

from qgsd.proxy.http import errors
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.handlers import new_request_id

_FOREVER = 366 * 86400.0


class ClientPatience:
    """See `stream.Patience`."""

    def __init__(self, context: HttpContext) -> None:
        self._context = context

    @property
    def head(self) -> float:
        return self._context.settings.server.client_timeout

    @property
    def silence(self) -> float:
        return self._context.settings.server.keepalive_timeout or _FOREVER

    def too_slow(self) -> bytes:
        request_id = new_request_id()
        message = f"the request was not complete within {self.head:g} s"
        content_type, body = errors.as_json("request_timeout", message, request_id)
        head = (
            "HTTP/1.1 408 Request Timeout\r\n"
            "Server: qgsd\r\n"
            f"Date: {format_timestamp(time.time())}\r\n"
            f"X-Request-Id: {request_id}\r\n"
            "Server-Timing: queue;dur=0.0, load;dur=0.0, render;dur=0.0\r\n"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + body
