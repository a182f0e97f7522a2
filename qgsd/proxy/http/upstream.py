# SPDX-License-Identifier: GPL-2.0-or-later
"""The way from an http child to the dispatcher: sending requests, matching answers to them.

An `Exchange` is one request until its answer is complete. It keeps the request's frames,
so that it can be sent again when a dispatcher hands it back or dies. A `_Link` is one
connection; when the dispatcher leaves, a new link takes the new requests while the old
one lives on until its last answer is in.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable

import msgspec
import zmq

from qgsd import messages
from qgsd.proxy.http.current import Current
from qgsd.proxy.http.spool import Bounds, Spool
from qgsd.proxy.http.wire import Wire
from qgsd.scoreboard import Scoreboard

logger = logging.getLogger("qgsd.http")

Message = messages.Answer | messages.Chunk | messages.End | messages.Failure
Part = tuple[Message, bytes]

_RECONNECT_MS = 10
_MOVE_PAUSE = 0.02
_MAX_SENDS = 20
_DEADLINE_GRACE = 2.0
# Seconds between two looks for answers that are late.
_LOOK = 1.0


class ExchangeClosed(Exception):
    """Nobody wants the answer any more."""


class Exchange:
    """One request and the parts of its answer, in order."""

    def __init__(self, request: messages.Request, body: bytes, bounds: Bounds) -> None:
        self.request = request
        self.body = body
        self.submitted = time.monotonic()
        self.deadline = self.submitted + request.timeout
        self.sends = 0
        self.answering = False
        self._messages: deque[Message] = deque()
        self._data = Spool(bounds)
        self.held = False
        # What was known of projects over the connection that it was sent by.
        self.current: Current | None = None
        self._told: Callable[[], None] | None = None
        self._waiting_since = 0.0
        self._closed = False

    def put(self, message: Message, data: bytes = b"") -> None:
        self.answering = True
        self._messages.append(message)
        self._data.put(data)
        self._wake()

    def _wake(self) -> None:
        if self._told is not None:
            told, self._told = self._told, None
            told()

    @property
    def overflows(self) -> bool:
        """The worker should pause until the client has taken more."""
        return self._data.full

    def close(self) -> None:
        """Nobody reads any more; who waits for the next part is told."""
        self._closed = True
        self._messages.clear()
        self._data.close()
        self._wake()

    def await_part(self, told: Callable[[], None]) -> None:
        """Have it told, once, that `take_part` has something to return or to raise: now, if it is so already.

        The dispatcher keeps the deadline; should it be gone for good, see `give_up_late`.
        """
        if self._messages or self._closed:
            told()
        else:
            self._told, self._waiting_since = told, time.monotonic()

    def take_part(self) -> Part:
        """The next part of the answer, which is there. Raises `ExchangeClosed`."""
        if self._closed:
            raise ExchangeClosed
        return self._messages.popleft(), self._data.get()

    async def next_part(self) -> Part:
        """The next part of the answer, waiting for it. Raises `ExchangeClosed`."""
        if not self._messages and not self._closed:
            there = asyncio.Event()
            self.await_part(there.set)
            await there.wait()
        return self.take_part()

    def give_up_late(self, now: float) -> bool:
        """End the wait for a part that should have come long ago, if there is one."""
        late = self._told is not None and now >= max(self.deadline, self._waiting_since) + _DEADLINE_GRACE
        if late:
            self.fail(504, "timeout", f"no answer within {self.request.timeout:g} s")
        return late

    def header(self) -> bytes:
        """The request as the dispatcher is to see it now: with the time that is left."""
        if self.sends <= 1:
            return messages.encode(self.request)
        left = max(0.0, self.deadline - time.monotonic())
        return messages.encode(msgspec.structs.replace(self.request, timeout=left))

    def fail(self, status: int, code: str, message: str) -> None:
        self.put(messages.Failure(self.request.id, status, code, message))


class _Link:
    """One connection to a dispatcher and the exchanges that run over it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.exchanges: dict[str, Exchange] = {}
        self.retired = False
        self.current = Current(upstream.board)
        socket = upstream.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.connect(upstream.address)
        self.wire = Wire(socket, self._received)
        self.monitor = Wire(monitor, self._disconnected)
        self._send(messages.Attach(messages.PROTOCOL, os.getpid()))

    def _send(self, message: messages.FromHttp) -> None:
        self.wire.send([messages.encode(message), b""])

    def submit(self, exchange: Exchange) -> None:
        self.exchanges[exchange.request.id] = exchange
        exchange.sends += 1
        exchange.current = self.current
        self.wire.send([exchange.header(), exchange.body])

    def cancel(self, id: str) -> None:
        if self.exchanges.pop(id, None) is not None:
            self._send(messages.Cancel(id))
            self._leave_when_done()

    def hold(self, exchange: Exchange) -> None:
        """Have the worker pause, or go on, as the room for its answer is."""
        id = exchange.request.id
        if not exchange.held and exchange.overflows:
            exchange.held = True
            self._send(messages.Hold(id))
        elif exchange.held and not exchange.overflows:
            exchange.held = False
            self._send(messages.Resume(id))

    def retire(self) -> None:
        """Take no new requests; go when the last answer is in."""
        self.retired = True
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if self.retired and not self.exchanges and not self.wire.closed:
            self._send(messages.Detach())
            self._close()

    def _close(self) -> None:
        self.wire.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.wire.close(linger=1000)
        self.upstream.links.discard(self)

    def _received(self, frames: list[zmq.Frame]) -> None:
        try:
            message = messages.decode_to_http(frames[0].buffer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as nonsense:
            logger.warning("a message of the dispatcher makes no sense: %s", nonsense)
            return
        match message:
            case messages.Moving():
                self.upstream.move(self)
            case messages.Serving():
                if replaced := self.current.heard(message):
                    self.upstream.on_replaced(replaced)
            case messages.Workforce(workers):
                self.upstream.workers = workers
            case messages.HandBack(id):
                if exchange := self.exchanges.pop(id, None):
                    self.upstream.send_again(exchange)
            case _:
                self._answer(message, frames[1])
        if self.retired:
            self._leave_when_done()

    def _answer(self, message: Message, data: zmq.Frame) -> None:
        exchange = self.exchanges.get(message.id)
        if exchange is None:
            return
        over = isinstance(message, messages.End | messages.Failure) or (
            isinstance(message, messages.Answer) and message.last
        )
        if over:
            del self.exchanges[message.id]
        exchange.put(message, data.bytes)
        if not over:
            self.hold(exchange)

    def _disconnected(self, _event: list[zmq.Frame]) -> None:
        """The dispatcher died. A fresh connection, because this one's queued messages may be lost."""
        lost = list(self.exchanges.values())
        self.exchanges.clear()
        if not self.wire.closed:
            self._close()
        self.upstream.lost(self, lost)


class Upstream:
    """All exchanges of an http child with the dispatcher."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, board: Scoreboard) -> None:
        self.context = context
        self.board = board
        self.on_replaced: Callable[[list[str]], None] = lambda projects: None
        self.address = address
        self.links: set[_Link] = set()
        # What the dispatcher last said; it stays while one dispatcher replaces another.
        self.workers = 0
        self._current = self._connect()
        self._moving = False
        self._loop = asyncio.get_running_loop()
        self._looking = self._loop.call_later(_LOOK, self._look_for_late)

    def _connect(self) -> _Link:
        link = _Link(self)
        self.links.add(link)
        return link

    def submit(self, request: messages.Request, body: bytes, bounds: Bounds) -> Exchange:
        """Send a request; read its answer from the exchange. `bounds` of what is kept for a slow client."""
        exchange = Exchange(request, body, bounds)
        self._current.submit(exchange)
        return exchange

    def taken(self, exchange: Exchange) -> None:
        """The client has taken a part: a worker that was held may perhaps go on."""
        if exchange.held:
            for link in list(self.links):
                if exchange.request.id in link.exchanges:
                    link.hold(exchange)

    def cancel(self, exchange: Exchange) -> None:
        """Nobody waits for this answer any more."""
        exchange.close()
        for link in list(self.links):
            link.cancel(exchange.request.id)

    def close(self) -> None:
        """Say goodbye on every connection; nothing is asked or answered any more."""
        self._looking.cancel()
        for link in list(self.links):
            link.exchanges.clear()
            link.retire()
        self.context.destroy(linger=1000)

    def _look_for_late(self) -> None:
        """One timer for all requests: no more than this is due to a case that should not happen."""
        now = time.monotonic()
        for link in list(self.links):
            for id, exchange in list(link.exchanges.items()):
                if exchange.give_up_late(now):
                    link.cancel(id)
        self._looking = self._loop.call_later(_LOOK, self._look_for_late)

    @property
    def current(self) -> Current:
        """What is known of the projects now."""
        return self._current.current

    @property
    def busy(self) -> int:
        """Requests whose answer is not complete."""
        return sum(len(link.exchanges) for link in self.links)

    # Called by links.

    def move(self, link: _Link) -> None:
        if link is not self._current:
            link.retire()
        elif not self._moving:
            # The new connection may reach the leaving dispatcher once more: not in a tight loop.
            self._moving = True
            self._loop.call_later(_MOVE_PAUSE, self._move_on)

    def _move_on(self) -> None:
        self._moving = False
        old = self._current
        self._current = self._connect()
        old.retire()

    def send_again(self, exchange: Exchange) -> None:
        if exchange.sends >= _MAX_SENDS:
            exchange.fail(503, "no_dispatcher", "the request was handed back too often; try again")
        elif self._moving:
            self._loop.call_later(_MOVE_PAUSE, self.send_again, exchange)
        else:
            self._current.submit(exchange)

    def lost(self, link: _Link, exchanges: list[Exchange]) -> None:
        if link is self._current:
            logger.info("the dispatcher has gone, connecting to its successor")
            self._current = self._connect()
        for exchange in exchanges:
            if exchange.request.idempotent and not exchange.answering:
                self.send_again(exchange)
            else:
                exchange.fail(
                    500, "dispatcher_lost", "the connection to the workers broke during this request"
                )
