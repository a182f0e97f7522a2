# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's word to the dispatcher: which of its workers have died.

Over the same socket as the workers' own, so that it reaches a dispatcher on another machine too.
"""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from qgsd import messages
from qgsd.cluster_key import ClusterKey, unlock


class MachineLink:
    """Never waits: what cannot be sent now is sent when the dispatcher is back."""

    def __init__(self, addresses: list[str], keys: list[ClusterKey]) -> None:
        self._addresses = addresses
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.use(keys)

    def use(self, keys: list[ClusterKey]) -> None:
        """Speak under these keys from now on.

        A socket a key: which of two the proxy has while keys are exchanged, only a connection tells. What is
        said on the others is delivered when they get through, and is then no news.
        """
        for socket in self._sockets:
            socket.close(linger=0)
        protected = any(address.startswith("tcp:") for address in self._addresses)
        wanted: Sequence[ClusterKey | None] = keys if keys and protected else [None]
        self._sockets = [self._connect(key) for key in wanted]

    def _connect(self, key: ClusterKey | None) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        if key is not None:
            unlock(socket, key)
        for address in self._addresses:
            socket.connect(address)
        return socket

    def worker_lost(self, name: str, reason: str, *, own_fault: bool) -> None:
        message = messages.encode(messages.WorkerLost(name, reason, own_fault))
        for socket in self._sockets:
            try:
                socket.send_multipart([message, b""], zmq.NOBLOCK)
            except zmq.Again:
                # A thousand losses wait already; the deadlines of the requests concerned will end them.
                continue

    def close(self) -> None:
        self._context.destroy(linger=0)
