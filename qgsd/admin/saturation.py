# SPDX-License-Identifier: GPL-2.0-or-later
"""The one number to scale on. Pure.

Saturation is the share of the workers' time that was used, plus the requests that waited, per worker. At
0.5 half of the capacity is idle; at 1 all workers are busy and nobody waits; at 3 each worker has two
requests waiting for it. So workers × saturation / target is how many workers would do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a time: the clocks of `WorkerTime`, in seconds, and the requests that waited."""

    at: float
    total: float
    busy: float
    workers: int
    waiting: int


class Saturation:
    """The saturation over the last `window` seconds."""

    def __init__(self, window: float = 15.0) -> None:
        self._window = window
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        # A clock that went back is that of a new master.
        if self._looks and look.total < self._looks[-1].total:
            self._looks.clear()
        self._looks.append(look)
        while len(self._looks) > 2 and look.at - self._looks[1].at >= self._window:
            self._looks.popleft()

    @property
    def used(self) -> float:
        """The share of the workers' time that was used."""
        if len(self._looks) < 2:
            return 0.0
        first, last = self._looks[0], self._looks[-1]
        total = last.total - first.total
        return min(1.0, (last.busy - first.busy) / total) if total > 0 else 0.0

    @property
    def pressure(self) -> float:
        """Requests that waited, per worker; with no worker each counts as one."""
        if not self._looks:
            return 0.0
        shares = [look.waiting / max(1, look.workers) for look in self._looks]
        return sum(shares) / len(shares)

    @property
    def value(self) -> float:
        return self.used + self.pressure
