# SPDX-License-Identifier: GPL-2.0-or-later
"""Who must leave a full queue, so that one project's flood does not shut out the others.

The rule is known as longest queue drop: a newcomer takes the place of the youngest request of the longest
line, unless its own line is as long. A project that is alone may use the whole queue, which a fixed share
a project would not let it; when others come it gives way until the lines are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def displaced(lines: Mapping[str, Sequence[str]], own_length: int) -> str | None:
    """The request that gives way to one whose own line has this length, None when the newcomer is refused.

    >>> displaced({"flood": ["a", "b", "c"], "other": ["d"]}, own_length=1)
    'c'
    >>> displaced({"flood": ["a", "b", "c"]}, own_length=3) is None
    True
    """
    longest = max(lines.values(), key=len, default=())
    # One that gave way to a line as long as its own would only change places with it.
    return longest[-1] if len(longest) > own_length + 1 else None
