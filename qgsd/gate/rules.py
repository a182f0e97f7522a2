# SPDX-License-Identifier: GPL-2.0-or-later
"""Which addresses QGIS may be connected to. Pure: names have been resolved before.

Judged is the address that is connected to, not the name: a name may mean another address the next time it is
asked for (DNS rebinding). A name that the operator has listed is trusted, whatever it means.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from qgsd.config import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Own:
    """This very server: addresses of the machine, ports it serves on, other names with a port (0: any)."""

    addresses: frozenset[Address] = frozenset()
    ports: frozenset[int] = frozenset()
    names: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Rules:
    """What [network] hosts lets through."""

    hosts: tuple[str, ...]
    own: Own = field(default_factory=Own)

    def permits(self, host: str, address: str, port: int) -> bool:
        """Whether QGIS, which has asked for `host`, may be connected to this address of it."""
        if self._permits_name(host.lower().strip("[]").removesuffix(".")):
            return True
        for found in _meant(ipaddress.ip_address(address.partition("%")[0])):
            if any(found in network for network in self._networks(found)):
                continue
            if "own" in self.hosts and (self._is_own(found, port) or self._is_own_name(host, port)):
                continue
            # An address of this machine is near, whatever it looks like: no firewall is in between.
            public = found.is_global and not found.is_multicast and found not in self.own.addresses
            if not ("public" in self.hosts and public):
                return False
        return True

    def _permits_name(self, host: str) -> bool:
        return any(
            one in ("*", host) or (one.startswith("*.") and host.endswith(one[1:]))
            for one in self.hosts
            if one not in ("public", "own")
        )

    def _networks(self, address: Address) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        networks = (ipaddress.ip_network(one) for one in self.hosts if _is_address(one))
        return (network for network in networks if network.version == address.version)

    def _is_own(self, address: Address, port: int) -> bool:
        return port in self.own.ports and (address.is_loopback or address in self.own.addresses)

    def _is_own_name(self, host: str, port: int) -> bool:
        return not {(host.lower(), port), (host.lower(), 0)}.isdisjoint(self.own.names)


def _meant(address: Address) -> list[Address]:
    """The address, or those in whose place it stands: IPv4 within IPv6, in any of the four ways."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address, address.sixtofour]
    if address.teredo:
        return [address, *address.teredo]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def names_of(settings: Settings) -> frozenset[tuple[str, int]]:
    """The server by the name that clients know, and for a worker machine its proxy."""
    public = urlsplit(settings.server.proxy_url)
    names = set()
    if public.hostname:
        names.add((public.hostname, public.port or (443 if public.scheme == "https" else 80)))
    if settings.worker.host:
        names.add((settings.worker.host.lower(), 0))
    return frozenset(names)
