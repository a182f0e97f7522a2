# SPDX-License-Identifier: GPL-2.0-or-later
"""The listening side of an http child: it accepts as long as it has descriptors for more clients.

At the limit it stops accepting and leaves new clients in the kernel's queue, where a sibling may take
them or they wait until somebody has gone. Tornado's own loop would meet EMFILE, log it and try again,
thousands of times a second, while those who are connected wait. So it does at the limit that the
administrator has set for all; one address alone that has too many is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer, _HTTPRequestContext
from tornado.iostream import IOStream
from tornado.netutil import ssl_wrap_socket

from qgsd import descriptors
from qgsd.proxy.http.connection import Connection
from qgsd.proxy.http.farewell import close_gently
from qgsd.proxy.http.stream import ClientStream, Direct, Guard, SecureClientStream

logger = logging.getLogger("qgsd.http")

# Accepted in one go before others have their turn.
_BATCH = 100
_PAUSE = 0.1


def _room() -> int:
    """Descriptors that clients may have. The others are for spooled answers and for ZeroMQ."""
    limit = descriptors.limit()
    return limit - max(16, limit // 4)


class DoorGuard(Guard, Protocol):
    """The guard of connections, who also knows how many there may be."""

    @property
    def most(self) -> int:
        """Connections in all."""
        ...

    def most_of(self, client: str) -> int:
        """Connections of one address."""
        ...

    def crowded(self, client: str) -> bytes:
        """What an address is told that has too many."""
        ...


class ServicePort(HTTPServer):
    """Tornado's server that knows its connections: it counts them, and closes idle ones when it leaves."""

    def initialize(self, *args: Any, guard: DoorGuard, direct: Direct, **kwargs: Any) -> None:  # type: ignore[override]
        super().initialize(*args, **kwargs)
        self._guard = guard
        self._direct = direct
        self._of_address: Counter[str] = Counter()
        self.open: set[HTTP1ServerConnection] = set()
        self._listeners: list[socket.socket] = []
        self._full = False

    # Accepting.

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for listener in sockets:
            self._listeners.append(listener)
            self._listen(listener)

    def stop(self) -> None:
        """Accept no more. Those who are connected stay."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._listeners.clear()

    def _listen(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(str(error))
                return
            self._welcome(connection, address)
            if reason := self._is_full():
                self._pause(reason)
                return

    def _is_full(self) -> str:
        """Why no more clients are accepted, empty if they are."""
        if descriptors.in_use() >= _room():
            return f"{descriptors.limit()} descriptors are the limit"
        if len(self._connections) >= self._guard.most:
            return f"{self._guard.most} connections are the limit (max_connections in [server])"
        return ""

    def _pause(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
        if not self._full:
            self._full = True
            logger.warning("no more clients are accepted until some have gone: %s", reason)
        loop.call_later(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        if self._is_full() and self._listeners:
            asyncio.get_running_loop().call_later(_PAUSE, self._go_on)
            return
        self._full = False
        for listener in self._listeners:
            self._listen(listener)

    # Connections.

    def _welcome(self, connection: socket.socket, address: Any) -> None:
        connection.setblocking(False)
        if isinstance(address, tuple):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # As tornado has it, which knows no address of Unix sockets.
        client = address[0] if isinstance(address, tuple) else "0.0.0.0"
        if self._of_address[client] >= self._guard.most_of(client):
            if self.ssl_options is None:
                with contextlib.suppress(OSError):
                    connection.send(self._guard.crowded(client))
            close_gently(connection)
            return
        self._open_stream(connection, address, client)

    def _open_stream(self, connection: socket.socket, address: Any, client: str) -> None:
        stream: IOStream
        try:
            if self.ssl_options is None:
                stream = ClientStream(connection)
            else:
                secure = ssl_wrap_socket(
                    connection, self.ssl_options, server_side=True, do_handshake_on_connect=False
                )
                stream = SecureClientStream(secure)
        except OSError as gone:
            # It was closed by the client while it waited here; a port scan does that.
            logger.debug("%s: %s", address, gone)
            connection.close()
            return
        ours = cast(ClientStream, stream)
        ours.guard, ours.direct, ours.client = self._guard, self._direct, client
        self._of_address[client] += 1
        self.handle_stream(stream, address)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """As in tornado, but for the class."""
        served = Connection(stream, self.conn_params, _HTTPRequestContext(stream, address, self.protocol))
        self._connections.add(served)
        self.open.add(served)
        served.start_serving(self)

    def on_close(self, server_conn: object) -> None:
        assert isinstance(server_conn, HTTP1ServerConnection)
        self.open.discard(server_conn)
        client = cast(ClientStream, server_conn.stream).client
        self._of_address[client] -= 1
        if not self._of_address[client]:
            del self._of_address[client]
        super().on_close(server_conn)
