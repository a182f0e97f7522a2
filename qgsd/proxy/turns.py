# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is: requests that wait, in a line for each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Turns:
    """Waiting requests, a line a key; each turn serves the key at the front and sends it to the back."""

    lines: dict[str, deque[str]] = field(default_factory=dict)

    def append(self, key: str, id: str) -> None:
        self.lines.setdefault(key, deque()).append(id)

    def put_first(self, key: str, id: str) -> None:
        line = self.lines.pop(key, deque())
        line.appendleft(id)
        self.lines = {key: line, **self.lines}

    def first(self, key: str) -> str:
        """The request at the front of a key's line."""
        return self.lines[key][0]

    def next(self, admits: Callable[[str], bool]) -> str | None:
        """The request whose turn it is, of the keys that are admitted; None when there is none."""
        key = next((key for key in self.lines if admits(key)), None)
        if key is None:
            return None
        line = self.lines.pop(key)
        id = line.popleft()
        if line:
            self.lines[key] = line
        return id

    def waiting(self, key: str) -> list[str]:
        """The requests in the line of a key."""
        return list(self.lines.get(key, ()))

    def remove(self, key: str, id: str) -> None:
        line = self.lines[key]
        line.remove(id)
        if not line:
            del self.lines[key]
