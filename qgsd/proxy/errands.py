# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects that an idle worker shall load before anybody has to wait for it.

Pinned ones, ones that were open in a worker that has gone, hot ones that need a further worker,
and those a person asked for. An errand is begun when no request wants the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.roster import Roster

_MAX_WANTED = 1000


@dataclass(slots=True)
class Wish:
    """So many workers shall have it; after `until`, or so many `starts`, that is not wanted any more.

    `tickets`: who wants to hear when it is there.
    """

    copies: int = 1
    until: float = inf
    starts: int = 1
    tickets: list[int] = field(default_factory=list)


class Errands:
    """What is wanted, in the order of wishing; a wish ends when its errands have begun."""

    def __init__(self, projects: Projects, roster: Roster) -> None:
        self._projects = projects
        self._roster = roster
        self._wanted: dict[str, Wish] = {}
        # When the first wish may not be wanted any more.
        self._expire_at = inf

    @property
    def some_wanted(self) -> bool:
        return bool(self._wanted)

    def want(
        self, key: str, copies: int = 1, until: float = inf, ticket: int | None = None, starts: int = 1
    ) -> None:
        if key not in self._wanted and len(self._wanted) >= _MAX_WANTED and ticket is None:
            return
        wish = self._wanted.setdefault(key, Wish(copies, until))
        wish.copies, wish.until = max(wish.copies, copies), max(wish.until, until)
        wish.starts = max(wish.starts, starts)
        self._expire_at = min(self._expire_at, wish.until)
        if ticket is not None:
            wish.tickets.append(ticket)

    def begun(self, key: str) -> list[int]:
        """An errand for the wish has begun; the tickets that waited for it."""
        wish = self._wanted[key]
        wish.starts -= 1
        return self.tickets_of(key) if wish.starts else self.drop(key)

    def drop(self, key: str) -> list[int]:
        """Forget the wish; the tickets that waited for it."""
        wish = self._wanted.pop(key, None)
        return wish.tickets if wish else []

    def tickets_of(self, key: str) -> list[int]:
        """Who waits for it; they need not any more."""
        wish = self._wanted.get(key)
        if wish is None:
            return []
        tickets, wish.tickets = wish.tickets, []
        return tickets

    def bound_reached(self) -> bool:
        """Half of the workers at most are out on errands, so that the others serve."""
        return self._roster.errands >= max(1, self._roster.usual // 2)

    def expire(self, now: float) -> None:
        """Forget what has not been had in time."""
        if now < self._expire_at:
            return
        for key in [key for key, wish in self._wanted.items() if wish.until <= now and not wish.tickets]:
            del self._wanted[key]
        self._expire_at = min((wish.until for wish in self._wanted.values()), default=inf)

    def due(self) -> Iterator[Project]:
        """What is to be loaded, as long as there are idle workers and the bound allows.

        What is there already is not.
        """
        for key in list(self._wanted) if self._wanted and self._roster.some_idle else ():
            if self.bound_reached():
                return
            project = self._projects.known(key)
            if project.held or project.changing:
                continue
            wish = self._wanted[key]
            if not wish.tickets and self._has(project, wish.copies):
                del self._wanted[key]
                self._projects.forget(key)
                continue
            yield project

    def _has(self, project: Project, copies: int) -> bool:
        """So many workers have it, or load it, and are here to stay."""
        if project.loads_now + len(project.copies) < copies:
            return False
        holders = project.holders(project.generation)
        return project.loads_now + sum(not self._roster[worker].reserve for worker in holders) >= copies

    def candidates(self, project: Project) -> Iterator[bytes]:
        """Idle workers that could load it."""
        for worker in self._roster.idle():
            if not self._roster[worker].reserve and worker not in project.copies:
                yield worker
