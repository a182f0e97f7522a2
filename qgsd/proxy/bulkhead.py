# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeping one project from taking every worker.

A project whose database hangs would fill all workers with requests that wait; the others
would stand still although nothing is wrong with them. So while other projects are asked for,
each has at most a share of the workers. A project that is alone may have them all.
"""

from __future__ import annotations

from collections import Counter, deque
from math import inf

# Seconds after which a project that nobody asked for does not count any more.
_MEMORY = 60.0
# Seconds within which a worker that has gone is replaced, unless more is wrong.
_REPLACED = 2.0


class Bulkhead:
    """Counts the workers each key occupies, and remembers who asked last.

    >>> bulkhead = Bulkhead()
    >>> for key in ("a", "b"): bulkhead.asked(key, 0.0)
    >>> bulkhead.began("a")
    >>> bulkhead.admits("a", workers=2, share=0, now=1.0), bulkhead.admits("b", workers=2, share=0, now=1.0)
    (False, True)
    """

    def __init__(self) -> None:
        self._occupied: Counter[str] = Counter()
        # Keys that have cost a worker which is not replaced yet, and until when that is hoped for.
        self._owing: deque[tuple[str, float]] = deque()
        self._latest = ("", float("-inf"))
        # The last other key: two are enough to know whether a key is alone.
        self._other = ("", float("-inf"))

    def asked(self, key: str, now: float) -> None:
        if key != self._latest[0]:
            self._other = self._latest
        self._latest = (key, now)

    def began(self, key: str) -> None:
        """A worker is occupied with a request of this key."""
        self._occupied[key] += 1

    def ended(self, key: str) -> None:
        """The worker is free again, or gone."""
        self._occupied[key] -= 1
        if self._occupied[key] <= 0:
            del self._occupied[key]

    def cost(self, key: str, now: float) -> None:
        """The worker is gone by what it ran for the key, which has it as its share until another one joins.

        Else the key would go on to the next worker, and the others would wait for the successor to warm up.
        """
        self._owing.append((key, now + _REPLACED))

    def joined(self) -> None:
        """A worker has come, in the place of the first one that has gone."""
        if self._owing:
            self.ended(self._owing.popleft()[0])

    def next_alarm(self) -> float:
        """When `forgive` has something to do."""
        return self._owing[0][1] if self._owing else inf

    def forgive(self, now: float) -> None:
        """A worker that has not been replaced by now will not be, or late."""
        while self._owing and self._owing[0][1] <= now:
            self.joined()

    def admits(self, key: str, *, workers: int, share: int, now: float) -> bool:
        """Whether the key may have one more of `workers`; `share` is its most, 0 for all but one."""
        most = share or max(1, workers + len(self._owing) - 1)
        return self._occupied[key] < most or self._is_alone(key, now)

    def _is_alone(self, key: str, now: float) -> bool:
        _, asked_at = self._other if self._latest[0] == key else self._latest
        return now - asked_at > _MEMORY
