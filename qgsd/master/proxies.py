# SPDX-License-Identifier: GPL-2.0-or-later
"""Which proxy each worker of a machine works for, where several share the fleet. Pure.

A worker has one dispatcher, which knows when it is idle and what it has open; two that did not know of each
other would send it requests at the same time, and one of them would wait while other workers are idle. So the
workers of a machine are dealt out to the proxies, slot by slot, and every machine begins at another proxy.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

# Seconds that a proxy may be silent before its workers are given to the others.
PATIENCE = 5.0


class Proxies:
    """The addresses, and which of them answer. `now` is seconds of any clock that does not go backwards.

    >>> proxies = Proxies(["tcp://b:1", "tcp://a:1"], "machine", 0.0)
    >>> sorted(proxies.of_slot(slot, 0.0) for slot in (0, 1, 2, 3))
    ['tcp://a:1', 'tcp://a:1', 'tcp://b:1', 'tcp://b:1']
    >>> proxies.answers("tcp://a:1")
    >>> {proxies.of_slot(slot, 9.0) for slot in (0, 1, 2, 3)}
    {'tcp://a:1'}
    """

    def __init__(self, addresses: Iterable[str], machine: str, now: float) -> None:
        self._first = zlib.crc32(machine.encode())
        # None for one that answers, else since when it does not.
        self._silent: dict[str, float | None] = {}
        self.resolved(addresses, now)

    @property
    def addresses(self) -> list[str]:
        return sorted(self._silent)

    def resolved(self, addresses: Iterable[str], now: float) -> tuple[list[str], list[str]]:
        """These there are, and no others: which are new, and which have gone. None at all changes nothing."""
        found = set(addresses)
        if not found:
            return [], []
        new, gone = sorted(found - self._silent.keys()), sorted(self._silent.keys() - found)
        for address in gone:
            del self._silent[address]
        self._silent.update(dict.fromkeys(new, now))
        return new, gone

    def answers(self, address: str) -> None:
        if address in self._silent:
            self._silent[address] = None

    def is_silent(self, address: str, now: float) -> None:
        if address in self._silent and self._silent[address] is None:
            self._silent[address] = now

    def of_slot(self, slot: int, now: float) -> str:
        """Where the worker in this slot belongs now."""
        there = [address for address in self.addresses if self._hopeful(address, now)] or self.addresses
        return there[(self._first + slot) % len(there)]

    def _hopeful(self, address: str, now: float) -> bool:
        since = self._silent[address]
        return since is None or now - since < PATIENCE
