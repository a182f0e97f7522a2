# SPDX-License-Identifier: GPL-2.0-or-later
"""Closing a connection whose client may still be sending.

A plain close() would answer what arrives later with a reset, and that takes the last answer away from a
client that has not read it yet: one told that its upload is too large would only see a broken connection. So
our end is closed first, and what still comes is thrown away for a moment.
"""

from __future__ import annotations

import asyncio
import socket

_SECONDS = 2.0
_PIECE = 1 << 16
# At once per turn of the loop, so that a fast sender holds up nobody.
_PIECES = 16
# So many at a time; others are closed at once.
_MOST = 1000
_leaving = 0


def close_gently(connection: socket.socket) -> None:
    """Close it when the client has closed its end, two seconds from now at the latest."""
    global _leaving
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        connection.close()
        return
    if _leaving >= _MOST:
        connection.close()
        return
    _leaving += 1
    loop = asyncio.get_running_loop()
    last = loop.call_later(_SECONDS, _close, connection)
    loop.add_reader(connection.fileno(), _discard, connection, last)


def _discard(connection: socket.socket, last: asyncio.TimerHandle) -> None:
    try:
        for _ in range(_PIECES):
            if not connection.recv(_PIECE):
                break
        else:
            return
    except BlockingIOError:
        return
    except OSError:
        pass
    last.cancel()
    _close(connection)


def _close(connection: socket.socket) -> None:
    global _leaving
    _leaving -= 1
    asyncio.get_running_loop().remove_reader(connection.fileno())
    connection.close()
