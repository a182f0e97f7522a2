# SPDX-License-Identifier: GPL-2.0-or-later
"""The server side of HTTP/1 over tornado's streams. Bodies are read and framed by tornado.

Tornado itself has a coroutine for each connection and for each request, and waits for what is there already:
that took turns of the loop, and a fifth of what an http child does for a request that a worker answers.
Here a request is begun when its head is there, and the next head is awaited when its answer is out. Header
lines, which clients repeat, are taken apart once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection, parse_int
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
    parse_request_start_line,
)
from tornado.iostream import StreamClosedError, UnsatisfiableReadError

from qgsd.proxy.http import repeated
from qgsd.proxy.http.stream import TORNADOS_400, ClientStream

logger = logging.getLogger("qgsd.http")

_reading: set[asyncio.Task[None]] = set()


class OneRequest(HTTP1Connection):
    """One request and its answer; tornado makes one of these for each, and calls it a connection."""

    on_answered: Callable[[], None]
    """Called when the answer is out, if the connection goes on."""

    # Reading.

    def begin(self, head: bytes, delegate: HTTPMessageDelegate) -> None:
        """The head is there: pass the request on, once it has been read to its end."""
        told = False
        try:
            first, headers = self._parse_headers(head)
            start = self._request_start_line = parse_request_start_line(first)
            self._request_headers = headers
            self._disconnect_on_finish = not self._can_keep_alive(start, headers)
            told = True
            delegate.headers_received(start, headers)
            if headers.get("Expect") == "100-continue" and not self._write_finished:
                self.stream.write(b"HTTP/1.1 100 (Continue)\r\n\r\n")
            if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
                self._pass_on(delegate)
                return
            body = cast(Awaitable[None], self._read_body(0, headers, delegate))
        except Exception as error:
            self._break(error, delegate if told else None)
            return
        task = asyncio.create_task(self._take_body(body, delegate))
        # The loop itself holds tasks only weakly.
        _reading.add(task)
        task.add_done_callback(_reading.discard)

    async def _take_body(self, body: Awaitable[None], delegate: HTTPMessageDelegate) -> None:
        try:
            try:
                await body
            except AssertionError as error:
                # What tornado before 6.6 has to say of the end of a chunk.
                raise HTTPInputError("a chunk does not end where it should") from error
            self._pass_on(delegate)
        except Exception as error:
            self._break(error, delegate)

    def _pass_on(self, delegate: HTTPMessageDelegate) -> None:
        self._read_finished = True
        if self._write_finished:
            return
        self.stream.set_close_callback(self._on_connection_close)
        delegate.finish()

    def _break(self, error: Exception, delegate: HTTPMessageDelegate | None) -> None:
        """The request cannot be read, or be dealt with; `delegate` knows of it."""
        if isinstance(error, HTTPInputError):
            logger.debug("%s: %s", self.context, error)
            if not self.stream.closed():
                self.stream.write(TORNADOS_400)
        elif not isinstance(error, StreamClosedError | UnsatisfiableReadError):
            logger.error("a connection breaks", exc_info=error)
        self.close()
        if delegate is not None:
            delegate.on_connection_close()

    def _parse_headers(self, data: bytes) -> tuple[str, HTTPHeaders]:
        first, _, lines = data.lstrip(b"\r\n").partition(b"\r\n")
        if first.endswith(b" HTTP/1.0"):
            # There handlers say to tornado by changing the headers whether the connection goes on.
            return super()._parse_headers(data)
        return first.decode("latin-1"), repeated.parse(lines)

    # Writing.

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """As tornado's, for answers only. Raises ValueError for a header that has a line end in it."""
        _, code, reason = start_line
        self._frame(cast(int, code), headers)
        lines = [f"HTTP/1.1 {code} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers.get_all()]
        head = "\r\n".join(lines)
        if not head.count("\n") == head.count("\r") == len(lines) - 1:
            raise ValueError(f"there is a line end in a header: {lines}")
        data = head.encode("latin-1") + b"\r\n\r\n"
        return self._send(data + self._format_chunk(chunk) if chunk else data)

    def _frame(self, code: int, headers: HTTPHeaders) -> None:
        """Say how long the body is, and whether the connection goes on."""
        request = self._request_start_line
        assert request is not None
        length = headers["Content-Length"] if "Content-Length" in headers else None  # noqa: SIM401 - slower
        bodiless = request.method == "HEAD" or code in (204, 304)
        self._chunking_output = request.version == "HTTP/1.1" and not bodiless and length is None
        if self._chunking_output:
            headers["Transfer-Encoding"] = "chunked"
        if request.method == "HEAD" or code == 304:
            self._expected_content_remaining = 0
        else:
            self._expected_content_remaining = None if length is None else parse_int(length)
        if request.version == "HTTP/1.0":
            told = cast(HTTPHeaders, self._request_headers).get("Connection", "")
            if told.lower() == "keep-alive":
                headers["Connection"] = "Keep-Alive"
        elif self._disconnect_on_finish:
            headers["Connection"] = "close"

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        return self._send(self._format_chunk(chunk))

    def _send(self, data: bytes) -> asyncio.Future[None]:
        if self.stream.closed():
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(StreamClosedError(real_error=self.stream.error))
            # Nobody has to wait for it.
            failed.exception()
            return failed
        self._pending_write = self.stream.write(data)
        return self._pending_write

    def _finish_request(self, _written: asyncio.Future[None] | None) -> None:
        # As in tornado, but for what comes next.
        self._clear_callbacks()
        if self._disconnect_on_finish:
            self.close()
        else:
            self.on_answered()


class Connection(HTTP1ServerConnection):
    """A client's connection, one request after the other."""

    stream: ClientStream

    def start_serving(self, delegate: HTTPServerConnectionDelegate) -> None:
        self._delegate = delegate
        self.stream.on_head = self._begin
        self.stream.on_end = self._end
        self.stream.await_head()

    def _begin(self, head: bytes) -> None:
        one = OneRequest(self.stream, False, self.params, self.context)
        one.on_answered = self.stream.await_head
        one.begin(head, self._delegate.start_request(self, one))

    def _end(self) -> None:
        self._delegate.on_close(self)
