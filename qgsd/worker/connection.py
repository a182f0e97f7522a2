# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker's connection to a dispatcher."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import parse_monitor_message

from qgsd import messages

_RECONNECT_MS = 10
_RECONNECT_MAX_MS = 1000


class Connection:
    """One DEALER socket from joining to leaving. `name` is told to the dispatcher as the peer's identity."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], addresses: list[str], name: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.setsockopt(zmq.LINGER, 2000)
        # Answers are pieces of a whole: none may be dropped, and none may block for ever.
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
        watched = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self.monitor = self.socket.get_monitor_socket(watched)
        for address in addresses:
            self.socket.connect(address)
        self.leaving = False
        self.established = False

    def send(self, message: messages.FromWorker, data: bytes = b"") -> None:
        self.socket.send_multipart([messages.encode(message), data])

    def leave(self) -> None:
        """Ask to be let go; `Dismiss` comes when nothing more is under way to this worker."""
        if not self.leaving:
            self.leaving = True
            self.send(messages.Leave())

    def has_broken(self) -> bool:
        """Read one event of the monitor: was it the loss of the dispatcher?"""
        event = parse_monitor_message(self.monitor.recv_multipart())["event"]
        self.established = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return bool(event == zmq.EVENT_DISCONNECTED)

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close()
