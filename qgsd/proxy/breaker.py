# SPDX-License-Identifier: GPL-2.0-or-later
"""Giving a project that only times out a rest, so that its clients get an answer at once.

After some time-outs in a row its requests are refused with 503 for a while, then one is let
through as a probe: if it is served the project is back, if it times out the pause doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_PAUSE = 60.0


@dataclass(slots=True)
class _Record:
    timeouts: int = 0
    open_until: float = 0.0
    pause: float = 0.0
    probing_until: float = 0.0


class Breakers:
    """One for each key that has timed out and not been served since. Times in seconds."""

    def __init__(self, timeouts: int, pause: float) -> None:
        """`timeouts` in a row that open a breaker (0: never), for at first `pause` seconds."""
        self.timeouts = timeouts
        self.pause = pause
        self._records: dict[str, _Record] = {}

    def refuses(self, key: str, now: float) -> float:
        """Seconds after which to ask again, 0 for a request that may pass (perhaps as the probe)."""
        record = self._records.get(key)
        if record is None or not record.open_until:
            return 0.0
        if now < record.open_until:
            return record.open_until - now
        if now < record.probing_until:
            return record.probing_until - now
        # A probe whose client leaves says nothing; after this time the next request probes.
        record.probing_until = now + record.pause
        return 0.0

    def timed_out(self, key: str, now: float) -> float:
        """A request of the key ran over its deadline. The seconds of the pause that begins, 0 for none."""
        record = self._records.setdefault(key, _Record())
        record.timeouts += 1
        if not self.timeouts or record.timeouts < self.timeouts or now < record.open_until:
            return 0.0
        record.pause = min(_LONGEST_PAUSE, 2 * record.pause) if record.pause else self.pause
        record.open_until = now + record.pause
        record.probing_until = 0.0
        return record.pause

    def served(self, key: str) -> bool:
        """A request of the key was answered. True when that ends a pause."""
        record = self._records.pop(key, None)
        return record is not None and record.open_until > 0.0
