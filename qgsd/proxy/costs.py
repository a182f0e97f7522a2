# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request will probably take, learned from those before it."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from math import log2

# How much of the past a mean remembers: the latest value counts for a quarter.
_WEIGHT = 0.25
_MOST_KEPT = 10_000
# Seconds, of what nothing like it has run yet.
_UNKNOWN = 0.1


# Clients repeat themselves.
@lru_cache(maxsize=1000)
def kind_of(service: str, operation: str, pixels: int) -> str:
    """Requests of one kind take about as long in one project; maps of up to four times the size are one kind.

    >>> kind_of("WMS", "GetMap", 256 * 256), kind_of("wms", "getmap", 300 * 300), kind_of("WFS", "", 0)
    ('wms.getmap.8', 'wms.getmap.8', 'wfs..0')
    """
    return f"{service.lower()}.{operation.lower()}.{int(log2(pixels) / 2) if pixels > 0 else 0}"


class Costs:
    """Means of seconds by project and kind of request, and of a kind in all projects. The latest are kept."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._means: OrderedDict[tuple[str, str], float] = OrderedDict()

    def expected(self, project: str, kind: str) -> float:
        """Seconds, where the project is open."""
        known = self.known(project, kind)
        return _UNKNOWN if known is None else known

    def known(self, project: str, kind: str) -> float | None:
        """The same; None when nothing like it has run yet."""
        mean = self._means.get((project, kind))
        return self._means.get(("", kind)) if mean is None else mean

    def learn(self, project: str, kind: str, seconds: float) -> None:
        for key in ((project, kind), ("", kind)):
            old = self._means.get(key)
            self._means[key] = seconds if old is None else old + _WEIGHT * (seconds - old)
            self._means.move_to_end(key)
        while len(self._means) > self._most:
            self._means.popitem(last=False)
