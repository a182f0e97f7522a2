# SPDX-License-Identifier: GPL-2.0-or-later
"""A ZeroMQ socket in asyncio's event loop, sending at once and telling each message as it comes.

pyzmq's ZMQStream does this too, with queues, callbacks and a turn of the loop for each message of either
direction: a quarter of the processor time that an http child takes for a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import zmq

from qgsd import frames

logger = logging.getLogger("qgsd.http")

_READABLE = int(zmq.POLLIN)
# Messages told in one turn of the loop, before others have theirs.
_BATCH = 32

Received = Callable[[list[zmq.Frame]], None]


class Wire:
    """Takes over a connected socket whose high-water marks are off, so that sending never blocks.

    `received` is called in the loop, with the frames of each message.
    """

    def __init__(self, socket: zmq.Socket[bytes], received: Received) -> None:
        self.socket = socket
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self._read)
        # Something may have arrived before the loop watched.
        self._loop.call_soon(self._read)

    @property
    def closed(self) -> bool:
        return bool(self.socket.closed)

    def send(self, message: Sequence[bytes]) -> None:
        """Raises `zmq.ZMQError` when the socket is closed."""
        frames.send(self.socket, message)
        # The descriptor tells of a change, not of a state, and sending may have swallowed the change.
        if self._readable():
            self._loop.call_soon(self._read)

    def _readable(self) -> bool:
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & _READABLE)

    def _read(self) -> None:
        for _ in range(_BATCH):
            if self.socket.closed or (message := frames.receive(self.socket)) is None:
                return
            try:
                self._received(message)
            except Exception:
                logger.exception("a message from the dispatcher could not be dealt with")
            # An exception for want of a message takes more time than this question.
            if self.socket.closed or not self._readable():
                return
        self._loop.call_soon(self._read)

    def close(self, linger: int) -> None:
        """Tell nothing more; what has been sent goes out within `linger` milliseconds."""
        if not self.socket.closed:
            self._loop.remove_reader(self._descriptor)
            self.socket.close(linger=linger)
