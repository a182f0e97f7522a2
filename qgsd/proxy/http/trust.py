# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom a request is from, when proxies stand in between: only those on the list are believed. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from tornado.httputil import HTTPHeaders

# What the client of a Unix socket is called: it has no address.
NAMELESS = "0.0.0.0"
_REMEMBERED = 10_000


class Proxies:
    """The list of `server.trusted_proxies`.

    >>> proxies = Proxies(["10.0.0.0/8", "::1"])
    >>> "10.1.2.3" in proxies, "::ffff:10.1.2.3" in proxies, "11.1.2.3" in proxies, "nonsense" in proxies
    (True, True, False, False)
    """

    def __init__(self, listed: Iterable[str]) -> None:
        words = list(listed)
        self._nameless = "unix" in words
        self._networks = [ipaddress.ip_network(word) for word in words if word != "unix"]
        self._known: dict[str, bool] = {}

    def __contains__(self, client: str) -> bool:
        known = self._known.get(client)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[client] = self._is_listed(client)
        return known

    def _is_listed(self, client: str) -> bool:
        if client == NAMELESS:
            return self._nameless
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network or address in network for network in self._networks)


def client_of(peer: str, headers: HTTPHeaders, proxies: Proxies) -> str:
    """The address of the client that a trusted `peer` asks for, the peer's where it does not say.

    Of X-Forwarded-For the last address that is no trusted proxy's: what stands before it may be invented.

    >>> told = HTTPHeaders({"X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.0.0.2"})
    >>> client_of("10.0.0.1", told, Proxies(["10.0.0.0/8"]))
    '192.0.2.7'
    """
    named = [word.strip() for word in headers.get("X-Forwarded-For", "").split(",")]
    if named == [""]:
        named = [headers.get("X-Real-Ip", "").strip()]
    found = peer
    for word in reversed(named):
        try:
            found = str(ipaddress.ip_address(word))
        except ValueError:
            break
        if found not in proxies:
            break
    return found


def names_client(headers: HTTPHeaders) -> bool:
    """Whether a proxy says whom it asks for."""
    return "X-Forwarded-For" in headers or "X-Real-Ip" in headers
