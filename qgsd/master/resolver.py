# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses behind a host name, as they are now."""

from __future__ import annotations

import asyncio
import socket


def endpoint(host: str, port: int) -> str:
    """As ZeroMQ writes it.

    >>> endpoint("::1", 18080)
    'tcp://[::1]:18080'
    """
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


async def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The endpoints of a host name; none when it cannot be resolved in time.

    A host with addresses of both kinds is one machine: those of IPv4 count, as proxies listen by default.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    by_family = [
        {str(address[0]) for family, _, _, _, address in found if family == wanted}
        for wanted in (socket.AF_INET, socket.AF_INET6)
    ]
    return sorted(endpoint(one, port) for one in by_family[0] or by_family[1])
