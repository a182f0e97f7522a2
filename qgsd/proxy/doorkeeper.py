# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may join as a worker from another machine: whoever holds a key of the cluster.

libzmq asks for every connection that has got through the CURVE handshake (ZAP, RFC 27), over a socket of
this context. pyzmq's authenticator would do the same in a thread of its own and without telling whom it
turned away. Who holds another key than the proxy does not get as far as that question; the socket's
monitor tells of those.
"""

from __future__ import annotations

import logging
import socket as sockets
import time

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from qgsd.cluster_key import ClusterKey
from qgsd.proxy.complaints import Complaints

logger = logging.getLogger("qgsd.dispatcher")

_ZAP = "inproc://zeromq.zap.01"
_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class Doorkeeper:
    """Answers libzmq's questions and tells whom it has turned away. Must exist before the socket binds.

    Without keys nobody asks; it then only notices who departs.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], guarded: zmq.Socket[bytes], keys: list[ClusterKey]
    ) -> None:
        self._questions = context.socket(zmq.REP)
        self._questions.setsockopt(zmq.LINGER, 0)
        self._questions.bind(_ZAP)
        self._monitor = guarded.get_monitor_socket(_WATCHED)
        self._peers: dict[int, str] = {}
        self._failed = False
        self._departed = False
        self._complaints = Complaints()
        self.admit(keys)

    @property
    def sources(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """Sockets to be polled; `attend` reads them."""
        return self._questions, self._monitor

    def admit(self, keys: list[ClusterKey]) -> None:
        """Holders of these keys, and no others, may join from now on. Who is in stays."""
        self._admitted = {z85.decode(key.public("worker")) for key in keys}

    def attend(self) -> None:
        """Answer all questions and hear all reports that are there."""
        while self._questions.poll(0):
            self._answer(self._questions.recv_multipart())
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())
            self._departed |= event["event"] == zmq.EVENT_DISCONNECTED
            # The Unix socket of the workers of this machine is another endpoint of the same socket.
            if event["endpoint"].startswith(b"tcp:"):
                self._heard(event["event"], event["value"])

    def somebody_departed(self) -> bool:
        """Whether a connection has ended since this was asked last."""
        departed, self._departed = self._departed, False
        return departed

    def _answer(self, question: list[bytes]) -> None:
        version, id, _domain, address, _identity, mechanism, *credentials = question
        admitted = mechanism == b"CURVE" and credentials[:1] and credentials[0] in self._admitted
        if not admitted:
            self._refused(address.decode(errors="replace"))
        status = (b"200", b"OK") if admitted else (b"400", b"this key is not accepted")
        self._questions.send_multipart([version, id, *status, b"", b""])

    def _heard(self, event: int, value: int) -> None:
        """The failure of a handshake does not say whose; the end of the connection, which follows, does."""
        if event == zmq.EVENT_ACCEPTED:
            self._peers[value] = _peer(value)
        elif event == zmq.EVENT_DISCONNECTED:
            peer = self._peers.pop(value, "")
            if self._failed:
                self._refused(peer)
            self._failed = False
        else:
            self._failed = True

    def _refused(self, address: str) -> None:
        if self._admitted and self._complaints.due(address, time.monotonic()):
            logger.warning(
                "a machine at %s was turned away: it does not hold the cluster's key (see key_file in [zmq])",
                address or "an unknown address",
            )

    def close(self) -> None:
        """Before the context is closed."""
        self._questions.close(linger=0)
        self._monitor.close(linger=0)


def _peer(descriptor: int) -> str:
    """The address at the other end of one of libzmq's own descriptors; empty when it has gone already."""
    try:
        connection = sockets.fromfd(descriptor, sockets.AF_INET, sockets.SOCK_STREAM)
    except OSError:
        return ""
    with connection:
        try:
            return str(connection.getpeername()[0])
        except (OSError, IndexError):
            return ""
