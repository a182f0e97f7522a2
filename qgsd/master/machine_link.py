# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's connection to the dispatchers of its workers.

Over the same socket as the workers' own, so that it reaches a dispatcher on another machine too. It tells
which workers have died, for the dispatcher of an instance as well; a worker machine says who it is and
hears what the proxy wants of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from qgsd import messages
from qgsd.cluster_key import ClusterKey, unlock
from qgsd.heartbeats import set_heartbeats

logger = logging.getLogger("qgsd.master")

_CHANGES = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class _Socket:
    """One connection, under one key."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, key: ClusterKey | None) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self.socket.setsockopt(zmq.IPV6, int("[" in address))
        set_heartbeats(self.socket, near=address.startswith("ipc:"))
        self.monitor = self.socket.get_monitor_socket(_CHANGES)
        if key is not None:
            unlock(self.socket, key)
        self.socket.connect(address)
        self.established = False

    def send(self, message: messages.FromWorker) -> None:
        # When a thousand wait already: deadlines end the requests concerned, the next report tells the rest.
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart([messages.encode(message), b""], zmq.NOBLOCK)

    def has_begun_anew(self) -> bool:
        """Whether the connection has been made since this was asked last."""
        begun = False
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())["event"]
            begun = self.established = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return begun

    def heard(self) -> Iterator[messages.ToMachine]:
        while self.socket.poll(0):
            header, *_ = self.socket.recv_multipart()
            try:
                yield messages.decode_to_machine(header)
            except (msgspec.MsgspecError, UnicodeDecodeError) as nonsense:
                logger.warning("a message of the proxy that makes no sense was dropped: %s", nonsense)

    def close(self, linger: int) -> None:
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=linger)


class ProxyLink:
    """The way to one address.

    A socket a key: which of two the proxy has while keys are exchanged, only a connection tells. What is
    said on the others is delivered when they get through, and is then no news.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, keys: Sequence[ClusterKey]
    ) -> None:
        self.address = address
        self._context = context
        self._sockets: list[_Socket] = []
        self.use(keys)

    def use(self, keys: Sequence[ClusterKey]) -> None:
        """Speak under these keys from now on."""
        self.close()
        self._keys = keys
        wanted: Sequence[ClusterKey | None] = keys if keys and self.address.startswith("tcp:") else [None]
        self._sockets = [_Socket(self._context, self.address, key) for key in wanted]

    @property
    def established(self) -> bool:
        return any(socket.established for socket in self._sockets)

    def send(self, message: messages.FromWorker) -> None:
        """To be delivered whenever there is a connection."""
        for socket in self._sockets:
            socket.send(message)

    def say(self, message: messages.FromWorker) -> None:
        """Only if there is a connection: later it would be wrong."""
        for socket in self._sockets:
            if socket.established:
                socket.send(message)

    def attend(self, here: messages.MachineHere) -> list[messages.ToMachine]:
        """What has been said; each new connection is greeted."""
        heard: list[messages.ToMachine] = []
        for socket in self._sockets:
            if socket.has_begun_anew():
                socket.send(here)
            heard += socket.heard()
        if any(isinstance(message, messages.Moving) for message in heard):
            # Its successor listens on the same address.
            self.use(self._keys)
        return heard

    def close(self, linger: int = 0) -> None:
        for socket in self._sockets:
            socket.close(linger)
        self._sockets = []


class MachineLink:
    """To all dispatchers. Never waits: what cannot be sent now is sent when the dispatcher is back."""

    def __init__(self, addresses: list[str], keys: list[ClusterKey]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._keys = keys
        self.proxies: dict[str, ProxyLink] = {}
        self.follow(addresses)

    def follow(self, addresses: list[str]) -> None:
        """There are dispatchers at these addresses, and no others."""
        for address in self.proxies.keys() - set(addresses):
            self.proxies.pop(address).close()
        for address in addresses:
            if address not in self.proxies:
                self.proxies[address] = ProxyLink(self._context, address, self._keys)

    def use(self, keys: list[ClusterKey]) -> None:
        """Speak under these keys from now on."""
        self._keys = keys
        for proxy in self.proxies.values():
            proxy.use(keys)

    def worker_lost(self, name: str, reason: str, *, own_fault: bool) -> None:
        for proxy in self.proxies.values():
            proxy.send(messages.WorkerLost(name, reason, own_fault))

    def say(self, message: messages.FromWorker) -> None:
        """To all that are there."""
        for proxy in self.proxies.values():
            proxy.say(message)

    def close(self, linger: int = 0) -> None:
        for proxy in self.proxies.values():
            proxy.close(linger)
        self.proxies = {}
        self._context.destroy(linger=linger)
