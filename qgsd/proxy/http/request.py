# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's request, as far as its head tells."""

from __future__ import annotations

import functools
import re

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPInputError, RequestStartLine, parse_cookie

# RFC 3986, 3.2.2, but for the comma: two Host headers would look like one with a comma.
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=:\[\]-]|%[0-9A-Fa-f]{2})*")


@functools.lru_cache(maxsize=1000)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


class ClientRequest:
    """Tornado's HTTPServerRequest does this too, and takes the query apart twice, which handlers do anyway.

    `remote_ip` and `protocol` are those of the connection, until a trusted proxy says otherwise.
    """

    def __init__(
        self, connection: HTTP1Connection, start_line: RequestStartLine, headers: HTTPHeaders
    ) -> None:
        """Raises `HTTPInputError` where `Host` is missing or no host."""
        self.connection = connection
        self.method, self.uri, self.version = start_line
        self.path, _, self.query = self.uri.partition("?")
        self.headers = headers
        context = getattr(connection, "context", None)
        self.remote_ip: str = getattr(context, "remote_ip", "")
        self.protocol: str = getattr(context, "protocol", "http")
        self.host = headers.get("Host", "127.0.0.1" if self.version == "HTTP/1.0" else "")
        if ("Host" not in headers and self.version != "HTTP/1.0") or not _is_host(self.host):
            raise HTTPInputError("the Host header is missing or names no host")

    def cookie(self, name: str) -> str | None:
        """The value of a cookie."""
        told = self.headers.get("Cookie")
        return parse_cookie(told).get(name) if told else None
