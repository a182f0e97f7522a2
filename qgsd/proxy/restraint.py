# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps events that the traffic makes from burying the others: some of each kind, and the number of the rest.

Pure. A token bucket for each kind of event.
"""

from __future__ import annotations

from dataclasses import dataclass

# So many at once, and one more each so many seconds.
_BURST = 20.0
_SECONDS = 10.0


@dataclass(slots=True)
class _Bucket:
    left: float
    since: float
    left_out: int = 0


class Restraint:
    """See the module's text."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, kind: str, now: float) -> int | None:
        """None if this one is to be left out; otherwise how many were since the last one that was not.

        >>> restraint = Restraint()
        >>> [restraint.admits("a", 0.0) for _ in range(22)][-3:], restraint.admits("a", 10.0)
        ([0, None, None], 2)
        """
        bucket = self._buckets.setdefault(kind, _Bucket(_BURST, now))
        bucket.left = min(_BURST, bucket.left + (now - bucket.since) / _SECONDS)
        bucket.since = now
        if bucket.left < 1:
            bucket.left_out += 1
            return None
        bucket.left -= 1
        left_out, bucket.left_out = bucket.left_out, 0
        return left_out
