# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that kill workers: remembered, and after the second kill not run any more for a while."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

POISONOUS = 2
_SUSPECTS = 1000


@dataclass(frozen=True, slots=True)
class Poison:
    """A request in quarantine; `until` in seconds of the scheduler's clock."""

    fingerprint: str
    key: str
    description: str
    reason: str
    until: float


class Quarantine:
    """At most `size` requests, each for `ttl` seconds; beyond that the oldest is let out."""

    def __init__(self, size: int, ttl: float) -> None:
        self.size = size
        self.ttl = ttl
        self._kills: OrderedDict[str, int] = OrderedDict()
        self._poison: OrderedDict[str, Poison] = OrderedDict()

    def blocks(self, fingerprint: str, now: float) -> bool:
        poison = self._poison.get(fingerprint)
        if poison is not None and poison.until <= now:
            del self._poison[fingerprint]
            return False
        return poison is not None

    def killed(self, fingerprint: str, key: str, description: str, reason: str, now: float) -> bool:
        """The request killed a worker. True when that puts it into quarantine."""
        kills = self._kills.pop(fingerprint, 0) + 1
        if kills < POISONOUS or not self.size:
            self._kills[fingerprint] = kills
            while len(self._kills) > _SUSPECTS:
                self._kills.popitem(last=False)
            return False
        self._poison[fingerprint] = Poison(fingerprint, key, description, reason, now + self.ttl)
        while len(self._poison) > self.size:
            self._poison.popitem(last=False)
        return True

    def served(self, fingerprint: str) -> None:
        """It can be served after all: an earlier kill was not its fault, or is mended."""
        self._kills.pop(fingerprint, None)

    def entries(self, now: float) -> list[Poison]:
        return [poison for poison in self._poison.values() if poison.until > now]

    def restore(self, entries: list[Poison]) -> None:
        """Take over what a predecessor knew."""
        self._poison.update((poison.fingerprint, poison) for poison in entries)

    def clear(self) -> None:
        self._poison.clear()
        self._kills.clear()
