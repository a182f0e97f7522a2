# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that kill workers: remembered, and after the second kill not run any more for a while."""

from __future__ import annotations

from collections import OrderedDict

POISONOUS = 2
_SUSPECTS = 1000


class Quarantine:
    """Fingerprints of at most `size` requests, each for `ttl` seconds; beyond that the oldest is let out."""

    def __init__(self, size: int, ttl: float) -> None:
        self.size = size
        self.ttl = ttl
        self._kills: OrderedDict[str, int] = OrderedDict()
        # Until when.
        self._poison: OrderedDict[str, float] = OrderedDict()

    def blocks(self, fingerprint: str, now: float) -> bool:
        until = self._poison.get(fingerprint)
        if until is not None and until <= now:
            del self._poison[fingerprint]
            return False
        return until is not None

    def killed(self, fingerprint: str, now: float) -> float:
        """The request killed a worker. Until when that puts it into quarantine, 0 if it does not."""
        kills = self._kills.pop(fingerprint, 0) + 1
        if kills < POISONOUS or not self.size:
            self._kills[fingerprint] = kills
            while len(self._kills) > _SUSPECTS:
                self._kills.popitem(last=False)
            return 0.0
        self.put(fingerprint, now + self.ttl)
        return now + self.ttl

    def put(self, fingerprint: str, until: float) -> None:
        """In quarantine it is from now on."""
        self._poison[fingerprint] = until
        while len(self._poison) > self.size:
            self._poison.popitem(last=False)

    def served(self, fingerprint: str) -> None:
        """It can be served after all: an earlier kill was not its fault, or is mended."""
        self._kills.pop(fingerprint, None)

    def entries(self, now: float) -> list[str]:
        return [fingerprint for fingerprint, until in self._poison.items() if until > now]

    def clear(self) -> None:
        self._poison.clear()
        self._kills.clear()
