# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker's connection to a dispatcher."""

from __future__ import annotations

from typing import Literal

import zmq
from zmq.utils.monitor import parse_monitor_message

from qgsd import frames, messages
from qgsd.cluster_key import ClusterKey, unlock
from qgsd.heartbeats import set_heartbeats

_RECONNECT_MS = 10
_RECONNECT_MAX_MS = 1000
_REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)

Change = Literal["established", "refused", "broken"]


class Connection:
    """One DEALER socket from joining to leaving. `name` is told to the dispatcher as the peer's identity.

    Over TCP it is encrypted under the `key`, if there is one.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        addresses: list[str],
        name: str,
        key: ClusterKey | None = None,
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.setsockopt(zmq.LINGER, 2000)
        # Answers are pieces of a whole: none may be dropped, and none may block for ever.
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        set_heartbeats(self.socket, near=all(address.startswith("ipc:") for address in addresses))
        self.socket.setsockopt(zmq.IPV6, int("[" in "".join(addresses)))
        watched = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSED
        self.monitor = self.socket.get_monitor_socket(watched)
        for address in addresses:
            if key is not None and address.startswith("tcp:"):
                unlock(self.socket, key)
            self.socket.connect(address)
        self.leaving = False
        # The dispatcher takes requests back that were not begun; one of an older version does not.
        self.recalls = False
        self.established = False
        self._refused = False

    def send(self, message: messages.FromWorker, data: bytes = b"") -> None:
        frames.send(self.socket, [messages.encode(message), data])

    def leave(self) -> None:
        """Ask to be let go; `Dismiss` comes when nothing more is under way to this worker."""
        if not self.leaving:
            self.leaving = True
            self.send(messages.Leave())

    def change(self) -> Change | None:
        """Read one event of the monitor: what has become of the connection."""
        event = parse_monitor_message(self.monitor.recv_multipart())["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.established = True
            return "established"
        self.established = False
        if event & _REFUSED:
            self._refused = True
            return "refused"
        # The end of a refused connection; libzmq goes on trying by itself.
        refused, self._refused = self._refused, False
        return None if refused else "broken"

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close()
