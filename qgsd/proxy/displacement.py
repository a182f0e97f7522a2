# SPDX-License-Identifier: GPL-2.0-or-later
"""Who must leave a full queue, so that one project's flood does not shut out the others.

The rule is known as longest queue drop: a newcomer takes the place of the youngest request of the longest
line, unless its own line is as long. A project that is alone may use the whole queue, which a fixed share
a project would not let it; when others come it gives way until the lines are equal.
"""

from __future__ import annotations

from collections.abc import Callable

from qgsd.proxy.waits import Waits


def displaced(waits: Waits, own_length: int, may_go: Callable[[str], bool]) -> str | None:
    """The request that gives way to one whose own line has this length, None when the newcomer is refused.

    >>> waits = Waits()
    >>> for id in "abc": waits.add("flood", id)
    >>> waits.add("other", "d")
    >>> displaced(waits, 1, lambda id: True), displaced(waits, 1, lambda id: id != "c")
    ('c', 'b')
    >>> displaced(waits, 3, lambda id: True) is None
    True
    """
    key = next(waits.longest(), None)
    # One that gave way to a line as long as its own would only change places with it.
    if key is None or waits.length(key) <= own_length + 1:
        return None
    return next((id for id in waits.youngest(key) if may_go(id)), None)
