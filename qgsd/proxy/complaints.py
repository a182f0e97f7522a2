# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of somebody at most once a minute. Pure."""

from __future__ import annotations

from collections import OrderedDict

_QUIET_SECONDS = 60.0
_REMEMBERED = 1000


class Complaints:
    """Remembers when what was last said of whom.

    >>> complaints = Complaints()
    >>> [complaints.due("a", 0.0), complaints.due("a", 59.0), complaints.due("b", 59.0)]
    [True, False, True]
    >>> complaints.due("a", 61.0)
    True
    """

    def __init__(self) -> None:
        self._said_at: OrderedDict[str, float] = OrderedDict()

    def due(self, address: str, now: float) -> bool:
        """Whether it is to be said now; if so it counts as said. An unknown one (empty) may be any."""
        if not address and self._said_at:
            address = next(reversed(self._said_at))
        if now - self._said_at.get(address, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        self._said_at[address] = now
        self._said_at.move_to_end(address)
        while len(self._said_at) > _REMEMBERED:
            self._said_at.popitem(last=False)
        return True
