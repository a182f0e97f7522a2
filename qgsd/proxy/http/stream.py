# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's connection: how long it may take to send the head of a request, and how long it may be silent.

Tornado closes both kinds without a word. Whoever has begun a request is owed an answer (408); whoever is
silent between two requests is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tornado.iostream import IOStream, SSLIOStream


class Patience(Protocol):
    """Seconds: for the head of a request from its first byte on, and for silence between requests."""

    @property
    def head(self) -> float: ...

    @property
    def silence(self) -> float: ...

    def too_slow(self) -> bytes:
        """The answer to a head that did not come in time."""
        ...


Direct = Callable[[bytes, str], bytes | None]


class _Timed(IOStream):
    """What is added to tornado's streams.

    Set once, before the first read: `patience`, the `client`'s address, and `direct`, which answers a request
    by its head or leaves it. `head` is that of the request in hand.
    """

    patience: Patience
    client: str
    direct: Direct
    head = b""
    _waiting_since = 0.0
    _first_byte = 0.0
    _timer: asyncio.TimerHandle | None = None

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        # Tornado's HTTP/1 reads the heads of requests so, and nothing else.
        now = asyncio.get_running_loop().time()
        self._waiting_since = now
        self._first_byte = now if self._read_buffer_size else 0.0
        if self._timer is None:
            self._look_again()
        return self._next_head(regex, max_bytes)

    async def _next_head(self, regex: bytes, max_bytes: int | None) -> bytes:
        """The head of the next request that somebody else than `direct` has to answer."""
        while True:
            head = await super().read_until_regex(regex, max_bytes)
            answer = self.direct(head, self.client)
            if answer is None:
                self.head = head
                return head
            written = self.write(answer)
            if self.writing():
                # Who does not take answers gets no more of them.
                await written
            elif self._read_buffer_size:
                # It sends requests without waiting for answers: others have their turn in between.
                await asyncio.sleep(0)
            self._waiting_since = asyncio.get_running_loop().time()
            self._first_byte = self._waiting_since if self._read_buffer_size else 0.0

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        count = super().read_from_fd(buf)
        if count and not self._first_byte:
            self._first_byte = asyncio.get_running_loop().time()
        return count

    def _look_again(self) -> None:
        """One timer for the connection, not for each request: it looks how things are when it runs out."""
        self._timer = None
        if self.closed():
            return
        loop = asyncio.get_running_loop()
        now, pause = loop.time(), self.patience.head
        if self._read_regex is not None:
            begun = self._first_byte
            until = begun + self.patience.head if begun else self._waiting_since + self.patience.silence
            if now >= until:
                self._give_up(begun=bool(begun))
                return
            pause = min(until - now, pause)
        self._timer = loop.call_later(pause, self._look_again)

    def _give_up(self, *, begun: bool) -> None:
        if not begun:
            self.close()
            return
        # Closed even if the client takes nothing: it would have to take it all first otherwise.
        self.write(self.patience.too_slow())
        self.close()

    def close(self, exc_info: object = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().close(exc_info)  # type: ignore[arg-type]


class ClientStream(_Timed):
    """Plain."""


class SecureClientStream(_Timed, SSLIOStream):
    """With TLS."""
