# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker whose work is over, or that goes: who pays, what it begins next, and what waits again. Pure."""

from __future__ import annotations

from math import inf

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.decisions import Decision, Limits, Release
from qgsd.proxy.endings import Endings
from qgsd.proxy.matchmaker import Matchmaker
from qgsd.proxy.prefetch import Prefetch
from qgsd.proxy.roster import Roster, Worker


class Vacating:
    """`limits` may be set anew at any time; `closing`: the dispatcher leaves and hands back what waits."""

    def __init__(
        self,
        backlog: Backlog,
        roster: Roster,
        matchmaker: Matchmaker,
        prefetch: Prefetch,
        endings: Endings,
        limits: Limits,
        now: float,
    ) -> None:
        self.limits = limits
        self.closing = False
        self._backlog = backlog
        self._roster = roster
        self._matchmaker = matchmaker
        self._prefetch = prefetch
        self._endings = endings
        self._workerless_since = now

    # Work that is over.

    def vacate(self, worker: bytes, state: Worker, now: float, *, free: bool = False) -> list[Decision]:
        """It is idle, or begins what it has next; nobody pays for what was `free`."""
        decisions = self.take_apart(worker, state) if state.joined else []
        self._matchmaker.settle(state, now, free=free)
        self._matchmaker.bulkhead.ended(state.key)
        self._roster.end_work(worker)
        self._prefetch.begin(worker, now)
        self._matchmaker.freed(worker, state.key)
        return decisions

    def take_apart(self, worker: bytes, state: Worker, *, lost: bool = False) -> list[Decision]:
        """What was rendered with something else, and has not been answered, is for others."""
        if not state.joined:
            return []
        retried = lost and not self.closing
        decisions = self._matchmaker.metatiles.take_apart(worker, state, retried=retried)
        return decisions + (self.give_back_all() if self.closing else [])

    def give_back_all(self) -> list[Decision]:
        """What waits is for the next dispatcher."""
        return [back for job in self._backlog.all_waiting() for back in self._endings.give_back(job)]

    # Workers that go.

    def note_cost(self, key: str, now: float, *, own_fault: bool) -> None:
        """A worker is lost that ran a request of the key: by the crash of it, or because it took too long."""
        if own_fault:
            self._matchmaker.bulkhead.cost(key, now)
        else:
            self._matchmaker.bulkhead.ended(key)

    def release_idle(self, worker: bytes, state: Worker, now: float) -> list[Decision]:
        """Let a worker go that leaves and has nothing more to do."""
        if not state.leaving or state.at_work:
            return []
        self._roster.remove(worker)
        self.note_workerless(now)
        return [Release(worker)]

    def note_workerless(self, now: float) -> None:
        """A worker has gone, perhaps the last one."""
        if not len(self._roster):
            self._workerless_since = now

    def next_alarm(self) -> float:
        """When it is `hopeless` to wait for a worker; infinity while there is one."""
        return inf if len(self._roster) else self._workerless_since + self.limits.worker_grace

    def hopeless(self, now: float) -> bool:
        """There has been no worker for so long that none is to be expected."""
        return not len(self._roster) and now - self._workerless_since >= self.limits.worker_grace
