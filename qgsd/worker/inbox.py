# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that a worker has been sent and has not begun."""

from __future__ import annotations

import time
from collections import deque
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from qgsd.messages import Assignment, Request


class Assigned(Struct, frozen=True):
    """A request as it came, with its body, and those that are to be rendered with it."""

    assignment: Assignment
    request: Request
    body: bytes
    joined: tuple[Request, ...] = ()


class Inbox:
    """In the order of arrival. One may lie here while another is run, and its time passes.

    The dispatcher says by its own clock when it sent each. What separates the clocks is learned from the
    message that took the least time: those of an idle worker are read at once.

    >>> inbox = Inbox()
    >>> request = Request("r", "p", "GET", "/", [], "WMS", "GetMap", True, 9.0, "")
    >>> inbox.put(Assigned(Assignment(0.0, 9.0, 1, sent_at=1.0), request, b""), now=51.0)
    >>> inbox.take(now=54.0).assignment.remaining
    6.0
    """

    def __init__(self) -> None:
        self._assigned: deque[Assigned] = deque()
        self._apart = inf

    def __bool__(self) -> bool:
        return bool(self._assigned)

    def put(self, assigned: Assigned, now: float | None = None) -> None:
        now = time.monotonic() if now is None else now
        self._apart = min(self._apart, now - assigned.assignment.sent_at)
        self._assigned.append(assigned)

    def take(self, now: float | None = None) -> Assigned:
        """The next one, with the time that it has left by now."""
        now = time.monotonic() if now is None else now
        assigned = self._assigned.popleft()
        told = assigned.assignment
        waited = now - told.sent_at - self._apart
        timed = replace(
            told,
            queued=told.queued + waited,
            remaining=told.remaining - waited,
            joined=[queued + waited for queued in told.joined],
        )
        return Assigned(timed, assigned.request, assigned.body, assigned.joined)

    def remove(self, id: str) -> None:
        """This one is not to be run, if it is here."""
        self._assigned = deque(one for one in self._assigned if one.request.id != id)

    def clear(self) -> list[str]:
        """Forget all; their ids. The next connection may be to another machine."""
        ids = [one.request.id for one in self._assigned]
        self._assigned.clear()
        self._apart = inf
        return ids
