# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's connection: how long it may take to send the head of a request and to take its answer, how long
it may be silent, and which heads get as far as tornado.

Tornado closes slow and oversized ones without a word, and answers malformed ones by a bare status line.
Whoever has begun a request is owed an answer (408, 414, 431, 400); whoever is silent between two is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError, UnsatisfiableReadError

from qgsd.proxy.http.farewell import close_gently

# All that tornado says to a request that it cannot read, be it the head or a chunk of the body.
_TORNADOS_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Guard(Protocol):
    """The limits of the moment, and the answers to those who do not keep to them.

    Seconds: for the `head` of a request from its first byte on (and for the handshake of TLS), for `silence`
    between requests, and for a `stall` in which a client takes nothing of its answer. Bytes: `largest_head`.
    """

    @property
    def head(self) -> float: ...

    @property
    def silence(self) -> float: ...

    @property
    def stall(self) -> float: ...

    @property
    def largest_head(self) -> int: ...

    def examine(self, head: bytes, client: str) -> bytes | None:
        """The answer to a request that is refused by its head, None for one that may go on."""
        ...

    def too_slow(self, head: bytes, client: str) -> bytes:
        """The answer to a head that did not come in time, as far as it came."""
        ...

    def too_large(self, head: bytes, client: str) -> bytes:
        """The answer to a head that is larger than `largest_head`, of which this is the beginning."""
        ...

    def malformed(self, head: bytes, client: str) -> bytes:
        """The answer to what tornado cannot read: this head, or the body behind it."""
        ...


Direct = Callable[[bytes, str], bytes | None]


class _Timed(IOStream):
    """What is added to tornado's streams.

    Set once, before the first read: `guard`, the `client`'s address, and `direct`, which answers a request
    by its head or leaves it. `head` is that of the request in hand. `unread` is set by whoever answers before
    the request has come to its end.
    """

    guard: Guard
    client: str
    direct: Direct
    head = b""
    unread = False
    _waiting_since = 0.0
    _first_byte = 0.0
    _taken_at = 0.0
    _timer: asyncio.TimerHandle | None = None

    @property
    def has_more(self) -> bool:
        """The client has sent the beginning of another request already."""
        return bool(self._read_buffer_size)

    def set_nodelay(self, value: bool) -> None:
        """Not for each answer, as tornado does: `port.py` sets it once; answers go out in large pieces."""

    @property
    def greeting(self) -> bool:
        """Whether a handshake comes before the first request, and is not over."""
        return False

    # Reading.

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        # Tornado's HTTP/1 reads the heads of requests so, and nothing else.
        now = asyncio.get_running_loop().time()
        self._waiting_since = now
        self._first_byte = now if self._read_buffer_size else 0.0
        if self._timer is None:
            self._look_again()
        return self._next_head(regex)

    async def _next_head(self, regex: bytes) -> bytes:
        """The head of the next request that somebody else than `direct` has to answer."""
        while True:
            head = await super().read_until_regex(regex, self.guard.largest_head)
            answer = self.direct(head, self.client)
            if answer is None:
                self.head = head
                refusal = self.guard.examine(head, self.client)
                if refusal is None:
                    return head
                self._refuse(refusal)
                raise StreamClosedError
            written = self.write(answer)
            if self.writing():
                # Who does not take answers gets no more of them.
                await written
            else:
                # Its next request may be here already, again and again: others have their turn in between.
                await asyncio.sleep(0)
            self._waiting_since = asyncio.get_running_loop().time()
            self._first_byte = self._waiting_since if self._read_buffer_size else 0.0

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        count = super().read_from_fd(buf)
        if count and not self._first_byte:
            self._first_byte = asyncio.get_running_loop().time()
        return count

    def _come_so_far(self) -> bytes:
        """What has been read of a head that is not complete."""
        return bytes(self._read_buffer[: self._read_buffer_size])

    # Writing.

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        if data == _TORNADOS_400:
            data = self.guard.malformed(self.head, self.client)
            self.unread = True
        if not self.writing():
            self._taken_at = asyncio.get_running_loop().time()
        return super().write(data)

    def write_to_fd(self, data: memoryview) -> int:
        count = super().write_to_fd(data)
        if count:
            self._taken_at = asyncio.get_running_loop().time()
        return count

    # Its end.

    def _look_again(self) -> None:
        """One timer for the connection, not for each request: it looks how things are when it runs out."""
        self._timer = None
        if self.closed():
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        until = now + min(self.guard.head, self.guard.stall)
        give_up: Callable[[], None] = self.close
        if self.greeting:
            until = self._waiting_since + self.guard.head
        elif self._read_regex is not None and self._first_byte:
            until, give_up = self._first_byte + self.guard.head, self._complain
        elif self._read_regex is not None:
            until = self._waiting_since + self.guard.silence
        elif self.writing():
            until = self._taken_at + self.guard.stall
        if now >= until:
            give_up()
            return
        self._timer = loop.call_later(min(until - now, self.guard.head, self.guard.stall), self._look_again)

    def _complain(self) -> None:
        self._refuse(self.guard.too_slow(self._come_so_far(), self.client))

    def _refuse(self, answer: bytes) -> None:
        # Closed even if the client takes nothing: it would have to take it all first otherwise.
        self.write(answer)
        self.unread = True
        self.close()

    def close(self, exc_info: object = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if isinstance(exc_info, UnsatisfiableReadError) and not self.closed():
            reading_head = self._read_regex is not None
            told = self.guard.too_large if reading_head else self.guard.malformed
            self.write(told(self._come_so_far() if reading_head else self.head, self.client))
            self.unread = True
        super().close(exc_info)  # type: ignore[arg-type]

    def close_fd(self) -> None:
        if self.unread and self.error_is_harmless:
            connection, self.socket = self.socket, None  # type: ignore[assignment]
            close_gently(connection)
        else:
            super().close_fd()

    @property
    def error_is_harmless(self) -> bool:
        """The connection itself is in order."""
        return self.error is None or isinstance(self.error, UnsatisfiableReadError)


class ClientStream(_Timed):
    """Plain."""


class SecureClientStream(_Timed, SSLIOStream):
    """With TLS."""

    @property
    def greeting(self) -> bool:
        return self._ssl_accepting
