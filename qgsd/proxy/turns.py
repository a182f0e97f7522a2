# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose turn it is: requests that wait, each in the line of its tenant and project.

Next is the first request of the tenant with the least on its account. A line that cannot be served though a
worker is idle (its project is on hold, has its share of the workers, or a warm worker is worth
waiting for) is parked until something happens that may change that: so a decision does not look at all
that wait.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from qgsd.proxy.shares import Shares


class Line(NamedTuple):
    """Requests of a tenant for a project; the tenant may be the project itself."""

    tenant: str
    project: str


_Entry = tuple[float, int, Line]


class Turns:
    """Ids of requests, in lines."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self.lines: dict[Line, deque[str]] = {}
        self._of_tenant: dict[str, dict[Line, None]] = {}
        self._of_project: dict[str, dict[Line, None]] = {}
        # By the tenant's account as it was; of the entries of a line the one with its number counts.
        self._order: list[_Entry] = []
        # Lines that can be served, but had better be last.
        self._last: list[_Entry] = []
        self._entries: dict[Line, int] = {}
        self._numbers = count()
        self._parked: dict[str, dict[Line, None]] = {}

    # What waits.

    def append(self, line: Line, id: str) -> None:
        self._open(line).append(id)

    def put_first(self, line: Line, id: str) -> None:
        self._open(line).appendleft(id)

    def _open(self, line: Line) -> deque[str]:
        waiting = self.lines.get(line)
        if waiting is None:
            self._shares.enter(line.tenant)
            waiting = self.lines[line] = deque()
            self._of_tenant.setdefault(line.tenant, {})[line] = None
            self._of_project.setdefault(line.project, {})[line] = None
            self._queue(line)
        else:
            # A longer line may be worth another copy of the project.
            self.wake(line.project)
        return waiting

    def first(self, line: Line) -> str:
        """The request at the front of a line."""
        return self.lines[line][0]

    def waiting(self, project: str) -> list[str]:
        """The requests for a project."""
        return [id for line in self._of_project.get(project, ()) for id in self.lines[line]]

    def length(self, project: str) -> int:
        """How many requests wait for a project."""
        return sum(len(self.lines[line]) for line in self._of_project.get(project, ()))

    def remove(self, line: Line, id: str) -> None:
        waiting = self.lines[line]
        was_first = waiting[0] == id
        waiting.remove(id)
        if not waiting:
            self._close(line)
        elif was_first:
            self.wake(line.project)

    def _close(self, line: Line) -> None:
        del self.lines[line]
        self._entries.pop(line, None)
        for index, key in (
            (self._of_tenant, line.tenant), (self._of_project, line.project), (self._parked, line.project)
        ):  # fmt: skip
            if key in index:
                index[key].pop(line, None)
                if not index[key]:
                    del index[key]
        self._shares.leave(line.tenant)

    # Whose turn it is.

    def next(self, serve: Callable[[Line, bool], bytes | None]) -> tuple[str, bytes] | None:
        """The next request and where it is served, None when there is none to serve.

        `serve` says where the first request of a line can be; a line that cannot is parked. It may put a line
        off by `put_off`, at first; if no other can be served, it is asked again and told that it is the last.
        """
        while line := self._least(self._order):
            if place := serve(line, False):
                return self.take(line), place
            if line in self._entries and self._entries[line] == self._order[0][1]:
                self._park(line)
        while line := self._least(self._last):
            if place := serve(line, True):
                return self.take(line), place
            self._park(line)
        return None

    def peek(self) -> Line | None:
        """Whose turn it is, lines that are parked or put off left out."""
        return self._least(self._order)

    def _park(self, line: Line) -> None:
        del self._entries[line]
        self._parked.setdefault(line.project, {})[line] = None

    def put_off(self, line: Line) -> None:
        """It is to be served only if no other line can be. It is woken as those that are parked."""
        number = self._entries[line] = next(self._numbers)
        heapq.heappush(self._last, (self._shares.account(line.tenant), number, line))
        self._parked.setdefault(line.project, {})[line] = None

    def take(self, line: Line) -> str:
        """The request at the front of a line, which does not wait any more."""
        id = self.lines[line].popleft()
        if self.lines[line]:
            self._unpark(line)
            # Behind others of an equal account.
            self._queue(line)
        else:
            self._close(line)
        return id

    def _least(self, order: list[_Entry]) -> Line | None:
        """The line of the tenant with the least on its account."""
        while order:
            account, number, line = order[0]
            if self._entries.get(line) != number:
                heapq.heappop(order)
            elif account < (now := self._shares.account(line.tenant)):
                heapq.heapreplace(order, (now, number, line))
            else:
                return line
        return None

    def _queue(self, line: Line) -> None:
        number = self._entries[line] = next(self._numbers)
        heapq.heappush(self._order, (self._shares.account(line.tenant), number, line))

    def credited(self, tenant: str) -> None:
        """The account of the tenant has become less: its turn may come sooner."""
        for line in self._of_tenant.get(tenant, ()):
            if line in self._entries:
                self._queue(line)

    # Lines that could not be served.

    @property
    def parked(self) -> int:
        """Projects with such lines."""
        return len(self._parked)

    def _unpark(self, line: Line) -> None:
        if parked := self._parked.get(line.project):
            parked.pop(line, None)
            if not parked:
                del self._parked[line.project]

    def wake(self, project: str) -> None:
        """Something has happened to the project, or to a worker that has it open."""
        for line in self._parked.pop(project, ()):
            self._queue(line)

    def wake_all(self) -> None:
        """Something has happened that may concern all."""
        for project in list(self._parked):
            self.wake(project)

    def wake_some(self, projects: Iterator[str]) -> None:
        """A worker is idle that has these open."""
        for project in projects:
            self.wake(project)


class Depths:
    """Nested requests that wait, a line for each depth; each turn sends the one at the front to the back."""

    def __init__(self) -> None:
        self.lines: dict[int, deque[str]] = {}

    def append(self, depth: int, id: str) -> None:
        self.lines.setdefault(depth, deque()).append(id)

    def put_first(self, depth: int, id: str) -> None:
        # There are only a few depths.
        self.lines = {depth: deque([id, *self.lines.pop(depth, ())]), **self.lines}

    def next(self, admits: Callable[[int], bool]) -> str | None:
        """The request whose turn it is, of the depths that are admitted; None when there is none."""
        depth = next((depth for depth in self.lines if admits(depth)), None)
        if depth is None:
            return None
        line = self.lines.pop(depth)
        id = line.popleft()
        if line:
            self.lines[depth] = line
        return id

    def remove(self, depth: int, id: str) -> None:
        line = self.lines[depth]
        line.remove(id)
        if not line:
            del self.lines[depth]
