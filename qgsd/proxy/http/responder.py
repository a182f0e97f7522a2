# SPDX-License-Identifier: GPL-2.0-or-later
"""One request and its answer over a connection of tornado, and which class of them answers which path.

This stands where tornado.web has Application and RequestHandler, whose names for things it keeps. Most of
what those do for each request is of no use here: cookies, locales, modules of templates, transforms,
arguments decoded in three forms.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, cast

from tornado.escape import json_encode
from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.iostream import StreamClosedError

from qgsd.proxy.http.request import ClientRequest

logger = logging.getLogger("qgsd.http")

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSPEAKABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
# Answers without a body say nothing about one (RFC 9110, 15.4.5).
_OF_THE_BODY = ("Content-Encoding", "Content-Language", "Content-Type")
_PHRASES = {int(status): status.phrase for status in HTTPStatus}
_running: set[asyncio.Task[None]] = set()

Answering = Coroutine[Any, Any, None] | None
"""What is still to be awaited for an answer."""


def http_date() -> str:
    """Now, for the header `Date`."""
    return _date_of_second(int(time.time()))


@functools.lru_cache(maxsize=1)
def _date_of_second(second: int) -> str:
    return format_timestamp(second)


class Responder:
    """Derived classes answer in methods named after those of HTTP, in small letters.

    Such a method may be a coroutine. What it leaves unfinished is finished behind it, if it is not postponed.
    """

    def __init__(self, request: ClientRequest, **kwargs: Any) -> None:
        """`kwargs`: what the route says, for `initialize`."""
        self.request = request
        self._status_code = 200
        self._reason = "OK"
        self._headers = _first_headers()
        self._written: list[bytes] = []
        self._headers_written = False
        self._finished = False
        self._postponed = False
        request.connection.set_close_callback(self.on_connection_close)
        self.initialize(**kwargs)

    # For derived classes.

    initialize: Callable[..., None]

    def prepare(self) -> None:
        """The head is there, a body may follow."""

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body."""

    def failed(self) -> None:
        """A method has raised; the error is logged already, and what was not sent is taken back."""

    def on_finish(self) -> None:
        """The answer is out."""

    def on_connection_close(self) -> None:
        """The client has gone before its answer was out."""

    # The request.

    def begin(self) -> None:
        """Its head is there."""
        try:
            self.prepare()
        except Exception:
            self._fail()

    def run(self) -> None:
        """The request is there as a whole: answer it."""
        if not self._finished:
            self._go_on(getattr(self, self.request.method.lower()))

    def postpone(self, step: Callable[[], Answering]) -> Callable[[], None]:
        """Have nothing finished yet: the answer goes on with this `step` when what is returned is called.

        So nothing runs while a request waits, where a coroutine takes a task, and turns of the loop.
        """
        self._postponed = True
        return functools.partial(self._go_on, step)

    def _go_on(self, step: Callable[[], Answering]) -> None:
        self._postponed = False
        try:
            answering = step()
            if answering is None:
                self._finish_what_is_left()
                return
        except Exception:
            self._fail()
            return
        task = asyncio.create_task(self._complete(answering))
        # The loop itself holds tasks only weakly.
        _running.add(task)
        task.add_done_callback(_running.discard)

    async def _complete(self, answering: Coroutine[Any, Any, None]) -> None:
        try:
            await answering
            self._finish_what_is_left()
        except StreamClosedError:
            # The client has gone; that is no error, but it is logged as a request.
            self._finish_what_is_left()
        except Exception:
            self._fail()

    def _finish_what_is_left(self) -> None:
        if not (self._finished or self._postponed):
            self.finish()

    def _fail(self) -> None:
        request = self.request
        logger.exception("%s %s from %s fails", request.method, request.uri, request.remote_ip)
        if not self._headers_written:
            self._headers = _first_headers()
            self._written.clear()
        self.failed()

    # The answer.

    def set_status(self, status: int, reason: str = "") -> None:
        self._status_code = status
        self._reason = reason or _PHRASES.get(status, "Unknown")

    def get_status(self) -> int:
        return self._status_code

    def set_header(self, name: str, value: str) -> None:
        """Raises ValueError for what no header can say."""
        self._headers[_fit(name)] = _speakable(value)

    def add_header(self, name: str, value: str) -> None:
        """One more of this name. Raises ValueError."""
        self._headers.add(_fit(name), _speakable(value))

    def clear_header(self, name: str) -> None:
        if name in self._headers:
            del self._headers[name]

    def redirect(self, url: str) -> None:
        """It has moved there for good."""
        self.set_status(301)
        self.set_header("Location", url)
        self.finish()

    def write(self, piece: bytes) -> None:
        """Have it sent with the next `flush`."""
        if self._finished:
            raise RuntimeError("the answer is finished already")
        self._written.append(piece)

    def flush(self) -> asyncio.Future[None]:
        """Send what is written; done when the client's system has taken it. Raises `StreamClosedError`."""
        connection, is_head = self.request.connection, self.request.method == "HEAD"
        piece = b"" if is_head else b"".join(self._written)
        self._written.clear()
        if not self._headers_written:
            self._headers_written = True
            start = ResponseStartLine("", self._status_code, self._reason)
            return connection.write_headers(start, self._headers, piece)
        if is_head:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return connection.write(piece)

    def finish(self, body: bytes | dict[str, Any] = b"") -> asyncio.Future[None]:
        """Send the rest; done when the client's system has taken it."""
        if isinstance(body, dict):
            self.set_header("Content-Type", "application/json; charset=UTF-8")
            body = json_encode(body).encode()
        if body or self._finished:
            self.write(body)
        if not self._headers_written:
            self._say_length()
        connection = self.request.connection
        connection.set_close_callback(None)
        try:
            sent = self.flush()
            connection.finish()
        finally:
            self._finished = True
            self.on_finish()
        return sent

    def _say_length(self) -> None:
        if self._status_code in (204, 304):
            self._written.clear()
            for name in _OF_THE_BODY:
                self.clear_header(name)
        elif "Content-Length" not in self._headers:
            self._headers["Content-Length"] = str(sum(map(len, self._written)))


def _first_headers() -> HTTPHeaders:
    headers = HTTPHeaders()
    headers["Server"] = "qgsd"
    headers["Date"] = http_date()
    return headers


@functools.lru_cache(maxsize=1000)
def _fit(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a header")
    return name


def _speakable(value: str) -> str:
    if _UNSPEAKABLE.search(value):
        raise ValueError(f"{value!r} cannot stand in a header")
    return value


Route = tuple[str, type[Responder], dict[str, Any]]


class Routes(HTTPServerConnectionDelegate):
    """Which class answers which path: a regular expression of whole paths, the class, and what it is told."""

    def __init__(self, routes: Sequence[Route], otherwise: tuple[type[Responder], dict[str, Any]]) -> None:
        self._routes = [(re.compile(pattern), answers, told) for pattern, answers, told in routes]
        self._otherwise = otherwise

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _Arrival(self, cast(HTTP1Connection, request_conn))

    def responder(self, request: ClientRequest) -> Responder:
        for pattern, answers, told in self._routes:
            if pattern.fullmatch(request.path):
                return answers(request, **told)
        answers, told = self._otherwise
        return answers(request, **told)


class _Arrival(HTTPMessageDelegate):
    """Passes what tornado reads of a request on to its responder."""

    def __init__(self, routes: Routes, connection: HTTP1Connection) -> None:
        self._routes = routes
        self._connection = connection
        self._responder: Responder | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        request = ClientRequest(self._connection, cast(RequestStartLine, start_line), headers)
        self._responder = self._routes.responder(request)
        self._responder.begin()

    def data_received(self, chunk: bytes) -> None:
        assert self._responder is not None
        self._responder.data_received(chunk)

    def finish(self) -> None:
        assert self._responder is not None
        self._responder.run()

    def on_connection_close(self) -> None:
        if self._responder is not None:
            self._responder.on_connection_close()
