# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections through the gate: read what is asked for, resolve it, judge the address, connect to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

from qgsd.gate import orders
from qgsd.gate.rules import Rules

_PIECE = 65536
_LARGEST_HEAD = 65536
_HEAD_SECONDS = 10.0
_CONNECT_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NotConnected(Exception):
    """HTTP status and reason for the client."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Passage:
    """One connection of a worker; `active_at` when bytes last went through it (monotonic seconds)."""

    def __init__(self, rules: Rules, refused: Callable[[str, list[str]], None], streams: Streams) -> None:
        self._rules = rules
        self._refused = refused
        self._reader, self._writer = streams
        self.active_at = time.monotonic()

    def close(self) -> None:
        self._writer.transport.abort()

    async def run(self) -> None:
        """Until either side hangs up."""
        try:
            order = await self._order()
            there = await self._connect(order.host, order.port)
        except NotConnected as error:
            await self._say(f"HTTP/1.1 {error.status}", error.reason)
            return
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            return
        try:
            if order.head:
                there[1].write(order.head)
            else:
                self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._join(there)
        finally:
            there[1].transport.abort()

    async def _order(self) -> orders.Order:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
        try:
            return orders.read(head.removesuffix(b"\r\n\r\n"))
        except orders.Malformed as error:
            raise NotConnected("400 Bad Request", f"the gate does not understand this: {error}") from error

    async def _connect(self, host: str, port: int) -> Streams:
        """A connection to a permitted address. Raises `NotConnected`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NotConnected("502 Bad Gateway", f"{host} cannot be resolved") from error
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        permitted = [one for one in addresses if self._rules.permits(host, one, port)]
        if not permitted:
            self._refused(host, addresses)
            raise NotConnected("403 Forbidden", f"{host} is not among [network] hosts of this server")
        for address in permitted:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS / len(permitted)):
                    return await asyncio.open_connection(address, port)
        raise NotConnected("502 Bad Gateway", f"{host} does not answer on port {port}")

    async def _join(self, there: Streams) -> None:
        """Pass bytes both ways until the far side has said all, or nobody is left to hear it."""
        sending = asyncio.create_task(self._copy(self._reader, there[1]))
        try:
            await self._copy(there[0], self._writer)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._writer.close()
            await self._writer.wait_closed()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                self.active_at = time.monotonic()
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

    async def _say(self, first: str, reason: str) -> None:
        body = f"{reason}\n".encode()
        head = f"{first}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        with contextlib.suppress(OSError):
            self._writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await self._writer.drain()
            self._writer.close()
