# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's connection: how long it may take to send the head of a request and to take its answer, how long
it may be silent, and which heads get as far as tornado.

Tornado closes slow and oversized ones without a word, and answers malformed ones by a bare status line.
Whoever has begun a request is owed an answer (408, 414, 431, 400); whoever is silent between two is not.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Protocol

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError, UnsatisfiableReadError

from qgsd.proxy.http.farewell import close_gently

# All that tornado says to a request that it cannot read, be it the head or a chunk of the body.
TORNADOS_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"
# The end of a head without a flaw, and of any.
_EMPTY_LINE = b"\r\n\r\n"
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


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


# Bytes that a head has at most, nearly always.
_ONE_PIECE = 4096

Direct = Callable[[bytes, str], bytes | None]


class _Timed(IOStream):
    """What is added to tornado's streams.

    Heads are told of, not waited for by a coroutine, and what is written goes out at once, if it can: so a
    request costs no turn of the loop more than it must.

    Set once, before the first head is awaited: `guard`, the `client`'s address, `direct`, which answers a
    request by its head or leaves it, and who is told: `on_head` of all other heads, `on_end` when the
    connection has come to its end. `head` is that of the request in hand. `unread` is set by whoever answers
    before the request has come to its end.
    """

    guard: Guard
    client: str
    direct: Direct
    on_head: Callable[[bytes], None]
    on_end: Callable[[], None]
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

    def await_head(self) -> None:
        """Have the head of the next request told of as soon as it is here."""
        if self.has_more:
            # Who sends requests without waiting for answers lets others have their turn.
            asyncio.get_running_loop().call_soon(self._await_head)
        else:
            self._await_head()

    def _await_head(self) -> None:
        if self.closed():
            return
        self._waiting_since = time.monotonic()
        self._first_byte = self._waiting_since if self._read_buffer_size else 0.0
        if self._timer is None:
            self._look_again()
        self._read_regex = _END_OF_HEAD
        self._read_max_bytes = self.guard.largest_head
        try:
            self._try_inline_read()
        except UnsatisfiableReadError as error:
            self.close(error)
        except StreamClosedError:
            pass

    def _try_inline_read(self) -> None:
        # Behind an answer there is nothing yet nearly always, and when there is, the loop tells.
        if self._read_regex is None or self.has_more:
            super()._try_inline_read()
        else:
            self._add_io_state(self.io_loop.READ)

    def reading(self) -> bool:
        # Tornado knows only those who wait with a future.
        return self._read_regex is not None or super().reading()

    def _read_from_buffer(self, pos: int) -> None:
        if self._read_regex is None:
            super()._read_from_buffer(pos)
            return
        self._read_regex = None
        self._head_is_here(self._consume(pos))

    def _head_is_here(self, head: bytes) -> None:
        answer = self.direct(head, self.client)
        if answer is not None:
            written = self.write(answer)
            if self.writing():
                # Who does not take answers gets no more of them.
                written.add_done_callback(lambda _: self._await_head())
            else:
                self.await_head()
            return
        self.head = head
        refusal = self.guard.examine(head, self.client)
        if refusal is None:
            self.on_head(head)
        else:
            self._refuse(refusal)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        count = super().read_from_fd(buf)
        if count and not self._first_byte:
            self._first_byte = time.monotonic()
        return count

    def _come_so_far(self) -> bytes:
        """What has been read of a head that is not complete."""
        return bytes(self._read_buffer[: self._read_buffer_size])

    # Writing.

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        if data == TORNADOS_400:
            data = self.guard.malformed(self.head, self.client)
            self.unread = True
        if self.writing() or self.greeting or self.closed():
            return super().write(data)
        self._taken_at = time.monotonic()
        try:
            count = self.write_to_fd(memoryview(data))
        except OSError:
            # Tornado will meet the same, and knows what is to be done.
            count = 0
        if count < len(data):
            return super().write(memoryview(data)[count:])
        # Nothing is left to do, so there is no turn of the loop that has it done.
        written = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    def write_to_fd(self, data: memoryview) -> int:
        count = super().write_to_fd(data)
        if count:
            self._taken_at = time.monotonic()
        return count

    # Its end.

    def _look_again(self) -> None:
        """One timer for the connection, not for each request: it looks how things are when it runs out."""
        self._timer = None
        if self.closed():
            return
        now = time.monotonic()
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
        wait = min(until - now, self.guard.head, self.guard.stall)
        self._timer = asyncio.get_running_loop().call_later(wait, self._look_again)

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
        asyncio.get_running_loop().call_soon(self.on_end)
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

    def _handle_read(self) -> None:
        if not self._takes_head():
            super()._handle_read()

    def _takes_head(self) -> bool:
        """Nearly always a head comes in one piece, and alone: so it is read without a buffer of tornado's.

        Those 64 KB would go through the processor's caches for each request. All else is left to tornado.
        """
        if self._read_regex is None or self.has_more:
            return False
        try:
            piece = self.socket.recv(_ONE_PIECE)
        except OSError:
            # Tornado will meet the same, and knows what is to be done. So it does at the end.
            return False
        if not piece:
            return False
        self._first_byte = time.monotonic()
        if piece.partition(_EMPTY_LINE)[1:] == (_EMPTY_LINE, b"") and len(piece) <= self.guard.largest_head:
            self._read_regex = None
            self._head_is_here(piece)
            return True
        self._read_buffer += piece
        self._read_buffer_size += len(piece)
        return False


class SecureClientStream(_Timed, SSLIOStream):
    """With TLS."""

    @property
    def greeting(self) -> bool:
        return self._ssl_accepting

    @property
    def has_more(self) -> bool:
        # The loop does not tell of what has been decrypted already.
        return super().has_more or (not self.closed() and bool(self.socket.pending()))
