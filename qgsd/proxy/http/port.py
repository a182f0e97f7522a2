# SPDX-License-Identifier: GPL-2.0-or-later
"""The listening side of an http child: it accepts as long as it has descriptors for more clients.

At the limit it stops accepting and leaves new clients in the kernel's queue, where a sibling may take
them or they wait until somebody has gone. Tornado's own loop would meet EMFILE, log it and try again,
thousands of times a second, while those who are connected wait.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from typing import Any, cast

from tornado import httputil
from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import ssl_wrap_socket

from qgsd import descriptors
from qgsd.proxy.http.stream import ClientStream, Direct, Patience, SecureClientStream

logger = logging.getLogger("qgsd.http")

# Accepted in one go before others have their turn.
_BATCH = 100
_PAUSE = 0.1


def _room() -> int:
    """Descriptors that clients may have. The others are for spooled answers and for ZeroMQ."""
    limit = descriptors.limit()
    return limit - max(16, limit // 4)


class ServicePort(HTTPServer):
    """Tornado's server that also knows its connections, to close the idle ones when it leaves."""

    def initialize(self, *args: Any, patience: Patience, direct: Direct, **kwargs: Any) -> None:  # type: ignore[override]
        super().initialize(*args, **kwargs)
        self._patience = patience
        self._direct = direct
        # Our streams keep time themselves, and say why they close.
        self.conn_params.header_timeout = None
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
            self._open_stream(connection, address)
            if connection.fileno() >= _room():
                self._pause(f"{descriptors.limit()} descriptors are the limit")
                return

    def _pause(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
        if not self._full:
            self._full = True
            logger.warning("no more clients are accepted until some have gone: %s", reason)
        loop.call_later(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        if descriptors.in_use() >= _room() and self._listeners:
            asyncio.get_running_loop().call_later(_PAUSE, self._go_on)
            return
        self._full = False
        for listener in self._listeners:
            self._listen(listener)

    # Connections.

    def _open_stream(self, connection: socket.socket, address: Any) -> None:
        connection.setblocking(False)
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
        ours.patience, ours.direct = self._patience, self._direct
        # As tornado has it, which knows no address of Unix sockets.
        ours.client = address[0] if isinstance(address, tuple) else "0.0.0.0"
        self.handle_stream(stream, address)

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        assert isinstance(server_conn, HTTP1ServerConnection)
        self.open.add(server_conn)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        assert isinstance(server_conn, HTTP1ServerConnection)
        self.open.discard(server_conn)
        super().on_close(server_conn)
