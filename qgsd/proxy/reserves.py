# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers in reserve that stand in while a project is replaced, and how long they are needed.

The master lets the reserve go some seconds after it was asked for last, so it is asked again and again.
Pure, as the scheduler that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from qgsd.proxy.decisions import Decision, Reinforce
from qgsd.proxy.projects import Projects
from qgsd.proxy.roster import Roster

_AGAIN = 1.0
# Seconds after which a hand-over is over in any case, and how many times the load of each worker more.
_PATIENCE = 30.0
_LOADS = 3.0


@dataclass(slots=True)
class _Need:
    workers: int
    until: float


class Reserves:
    """What each project needs: while it is prepared, and then until the usual workers have it as well."""

    def __init__(self, projects: Projects, roster: Roster) -> None:
        self._projects = projects
        self._roster = roster
        self._needs: dict[str, _Need] = {}
        self._next = 0.0

    def need(self, key: str, workers: int, now: float) -> None:
        """So many prepare it, until `drop` or `hand_over`."""
        self._needs[key] = _Need(workers, inf)
        self._next = now

    def hand_over(self, key: str, workers: int, now: float) -> None:
        """They serve it until so many of the usual workers have it."""
        project = self._projects.known(key)
        self._needs[key] = _Need(workers, now + _PATIENCE + _LOADS * workers * project.load_seconds)

    def drop(self, key: str) -> None:
        self._needs.pop(key, None)

    def next_alarm(self) -> float:
        return self._next if self._needs else inf

    @property
    def some_needed(self) -> bool:
        return bool(self._needs)

    def due(self, now: float) -> list[Decision]:
        """Ask for what is needed, if it is time."""
        for key, need in list(self._needs.items()):
            if need.until <= now or (need.until < inf and self._handed_over(key, need)):
                del self._needs[key]
        if not self._needs or now < self._next:
            return []
        self._next = now + _AGAIN
        return [Reinforce(max(need.workers for need in self._needs.values()))]

    def _handed_over(self, key: str, need: _Need) -> bool:
        project = self._projects.get(key)
        if project is None:
            return True
        usual = sum(not self._roster[worker].reserve for worker in project.holders(project.generation))
        return usual >= min(need.workers, self._roster.usual)
