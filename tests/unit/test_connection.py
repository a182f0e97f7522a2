# SPDX-License-Identifier: GPL-2.0-or-later
"""The heads of answers, beside those that tornado writes, and requests over a connection."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine

from qgsd.proxy.http.connection import Connection, OneRequest
from qgsd.proxy.http.stream import ClientStream

_GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


class _Sink:
    """A stream that takes everything."""

    def __init__(self) -> None:
        self.taken = b""
        self.max_buffer_size = 1000

    def write(self, data: bytes) -> asyncio.Future[None]:
        self.taken += data
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def closed(self) -> bool:
        return False

    def set_close_callback(self, callback: object) -> None:
        pass


def _head(kind: type[HTTP1Connection], request: RequestStartLine, asked: str, closes: bool, code: int,
          headers: list[tuple[str, str]], body: bytes) -> bytes:  # fmt: skip
    async def write() -> bytes:
        sink: Any = _Sink()
        one = kind(sink, False, HTTP1ConnectionParameters(), None)
        one._request_start_line, one._disconnect_on_finish = request, closes
        one._request_headers = HTTPHeaders({"Connection": asked} if asked else {})
        told = HTTPHeaders()
        for name, value in headers:
            told.add(name, value)
        one.write_headers(ResponseStartLine("", code, "Why"), told, body)
        taken: bytes = sink.taken
        return taken

    return asyncio.run(write())


@given(
    st.builds(RequestStartLine, st.sampled_from(["GET", "HEAD", "POST"]), st.just("/"),
              st.sampled_from(["HTTP/1.0", "HTTP/1.1"])),
    st.sampled_from(["", "close", "Keep-Alive"]),
    st.booleans(),
    st.sampled_from([200, 204, 304, 404, 500]),
    st.lists(st.tuples(st.sampled_from(["X-A", "Set-Cookie", "Vary"]), st.sampled_from(["", "1", "\xe9"]))),
    st.sampled_from([None, b"", b"body"]),
)  # fmt: skip
def test_heads_are_those_that_tornado_writes(
    request: RequestStartLine, asked: str, closes: bool, code: int, headers: list[tuple[str, str]],
    body: bytes | None,
) -> None:  # fmt: skip
    if body is not None and code != 204:
        headers = [*headers, ("Content-Length", str(len(body)))]
    sent = body if body and request.method != "HEAD" and code not in (204, 304) else b""
    ours, tornados = (
        _head(kind, request, asked, closes, code, headers, sent) for kind in (OneRequest, HTTP1Connection)
    )
    assert sorted(ours.split(b"\r\n")) == sorted(tornados.split(b"\r\n"))


@pytest.mark.parametrize("end", ["\r", "\n", "\r\nX: y"])
def test_no_header_makes_another_line(end: str) -> None:
    async def write() -> None:
        one = OneRequest(_Sink(), False, HTTP1ConnectionParameters(), None)  # type: ignore[arg-type]
        one._request_start_line = RequestStartLine("GET", "/", "HTTP/1.1")
        headers = HTTPHeaders()
        headers["X-A"] = f"a{end}"
        one.write_headers(ResponseStartLine("", 200, "OK"), headers, b"")

    with pytest.raises(ValueError, match="line end"):
        asyncio.run(write())


class _Server:
    """Answers each request by its path, and remembers."""

    def __init__(self, answers_at_once: bool) -> None:
        self.answers_at_once = answers_at_once
        self.closed = asyncio.Event()

    def start_request(self, _connection: object, one: OneRequest) -> HTTPMessageDelegate:
        server = self

        class Echo(HTTPMessageDelegate):
            def headers_received(self, start_line: Any, _headers: HTTPHeaders) -> None:
                self.path = start_line.path

            def finish(self) -> None:
                if server.answers_at_once:
                    self.answer()
                else:
                    asyncio.get_running_loop().call_later(0.001, self.answer)

            def answer(self) -> None:
                body = self.path.encode()
                headers = HTTPHeaders({"Content-Length": str(len(body))})
                one.write_headers(ResponseStartLine("", 200, "OK"), headers, body)
                one.finish()

        return Echo()

    def on_close(self, _connection: object) -> None:
        self.closed.set()


async def _talk(pieces: list[bytes], answers_at_once: bool) -> bytes:
    """What comes for these pieces, until all are answered; then the client goes."""
    ours, clients = socket.socketpair()
    clients.setblocking(False)
    loop = asyncio.get_running_loop()
    stream = ClientStream(ours)
    stream.client = "x"
    stream.direct = lambda head, client: b"hot" if head.startswith(b"GET /hot") else None
    stream.guard = SimpleNamespace(  # type: ignore[assignment]
        head=5.0, silence=5.0, stall=5.0, largest_head=1000, examine=lambda head, client: None
    )
    server: Any = _Server(answers_at_once)
    Connection(stream, HTTP1ConnectionParameters(), None).start_serving(server)
    came = b""
    for piece in pieces:
        await loop.sock_sendall(clients, piece)
        # The server reads each by itself.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    wanted = b"".join(pieces).count(b"GET /")
    while came.count(b"HTTP/1.1 200 OK") + came.count(b"hot") < wanted:
        came += await asyncio.wait_for(loop.sock_recv(clients, 10_000), 5)
    clients.close()
    await asyncio.wait_for(server.closed.wait(), 5)
    return came


@given(st.booleans(), st.integers(1, 8), st.data())
def test_requests_are_answered_in_their_order_however_they_come(
    at_once: bool, number: int, data: st.DataObject
) -> None:
    asked = b"".join(_GET % n for n in range(number))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(asked) - 1), max_size=5, unique=True)))
    pieces = [asked[a:b] for a, b in zip([0, *cuts], [*cuts, len(asked)], strict=True)]
    came = asyncio.run(_talk(pieces, at_once))
    answers = [f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/{n}" for n in range(number)]
    assert came.decode() == "".join(answers)


@pytest.mark.parametrize("first", range(1, len(_GET)))
def test_a_head_may_come_in_two_pieces(first: int) -> None:
    asked = _GET % 1 + _GET % 2
    came = asyncio.run(_talk([asked[:first], asked[first:]], True))
    assert came.count(b"200 OK") == 2


def test_many_requests_in_one_piece_do_not_pile_up() -> None:
    asked = [b"".join(_GET % (n % 10) for n in range(3000))]
    assert asyncio.run(_talk(asked, True)).count(b"200 OK") == 3000
    hot = [b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n" * 3000]
    assert asyncio.run(_talk(hot, True)) == b"hot" * 3000
