# SPDX-License-Identifier: GPL-2.0-or-later
"""Tornado's server side of HTTP/1, which takes apart the headers that clients repeat only once."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httputil import HTTPHeaders, HTTPServerConnectionDelegate
from tornado.iostream import StreamClosedError, UnsatisfiableReadError

from qgsd.proxy.http import repeated
from qgsd.proxy.http.stream import ClientStream

logger = logging.getLogger("qgsd.http")


class OneRequest(HTTP1Connection):
    """One request and its answer; tornado makes one of these for each, and calls it a connection."""

    def _parse_headers(self, data: bytes) -> tuple[str, HTTPHeaders]:
        first, _, lines = data.lstrip(b"\r\n").partition(b"\r\n")
        if first.endswith(b" HTTP/1.0"):
            # There handlers say to tornado by changing the headers whether the connection goes on.
            return super()._parse_headers(data)
        return first.decode("latin-1"), repeated.parse(lines)


class Connection(HTTP1ServerConnection):
    """A client's connection, one request after the other."""

    async def _server_request_loop(self, delegate: HTTPServerConnectionDelegate) -> None:
        # As in tornado, but for the class.
        try:
            while True:
                one = OneRequest(self.stream, False, self.params, self.context)
                try:
                    goes_on = await one.read_response(delegate.start_request(self, one))
                except (StreamClosedError, UnsatisfiableReadError, asyncio.CancelledError):
                    return
                except Exception:
                    logger.exception("a connection breaks")
                    one.close()
                    return
                if not goes_on:
                    return
                if cast(ClientStream, self.stream).has_more:
                    # Who sends requests without waiting for answers lets others have their turn.
                    await asyncio.sleep(0)
        finally:
            delegate.on_close(self)
