# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that wait, counted: in all, and in the line of each key.

Knows the longest line at any time without looking at the others: a change by one moves a key to the
next length, so the greatest length moves by one as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Waits:
    """Ids by key, in the order in which they began to wait. Keys of no line (None) only count.

    >>> waits = Waits()
    >>> for key, id in (("a", "1"), ("b", "2"), ("a", "3"), (None, "4")): waits.add(key, id)
    >>> waits.total, waits.length("a"), list(waits.longest()), list(waits.youngest("a"))
    (4, 2, ['a'], ['3', '1'])
    """

    def __init__(self) -> None:
        self._lines: dict[str | None, dict[str, None]] = {}
        self._of_length: dict[int, dict[str, None]] = {}
        self._greatest = 0
        self.total = 0

    @property
    def lines(self) -> Mapping[str | None, Mapping[str, None]]:
        return self._lines

    def add(self, key: str | None, id: str) -> None:
        """It waits; nothing happens if it does already."""
        line = self._lines.setdefault(key, {})
        if id not in line:
            line[id] = None
            self.total += 1
            self._moved(key, len(line) - 1, len(line))

    def remove(self, key: str | None, id: str) -> None:
        """It does not wait any more; nothing happens if it did not."""
        line = self._lines.get(key)
        if line is None or id not in line:
            return
        del line[id]
        self.total -= 1
        self._moved(key, len(line) + 1, len(line))
        if not line:
            del self._lines[key]

    def _moved(self, key: str | None, old: int, new: int) -> None:
        if key is None:
            return
        if old:
            del self._of_length[old][key]
            if not self._of_length[old]:
                del self._of_length[old]
        if new:
            self._of_length.setdefault(new, {})[key] = None
        if new > self._greatest or self._greatest not in self._of_length:
            self._greatest = new

    def length(self, key: str | None) -> int:
        return len(self._lines.get(key, ()))

    def longest(self) -> Iterator[str]:
        """The keys with the longest line."""
        return iter(self._of_length.get(self._greatest, ()))

    def youngest(self, key: str | None) -> Iterator[str]:
        """The ids in the line of a key, the last one first."""
        return reversed(self._lines.get(key, {}))
