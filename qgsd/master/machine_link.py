# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's word to the dispatcher: which of its workers have died.

Over the same socket as the workers' own, so that it reaches a dispatcher on another machine too.
"""

from __future__ import annotations

import zmq

from qgsd import messages


class MachineLink:
    """Never waits: what cannot be sent now is sent when the dispatcher is back."""

    def __init__(self, addresses: list[str]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        for address in addresses:
            self._socket.connect(address)

    def worker_lost(self, name: str, reason: str, *, own_fault: bool) -> None:
        message = messages.encode(messages.WorkerLost(name, reason, own_fault))
        try:
            self._socket.send_multipart([message, b""], zmq.NOBLOCK)
        except zmq.Again:
            # A thousand losses wait already; the deadlines of the requests concerned will end them.
            return

    def close(self) -> None:
        self._context.destroy(linger=0)
