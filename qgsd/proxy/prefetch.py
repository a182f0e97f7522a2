# SPDX-License-Identifier: GPL-2.0-or-later
"""Handing a worker its next request before it asks.

Between the last byte of an answer and the next request lie two hops through the dispatcher, in which a
worker's processor stands still; with small requests, or a worker far away, that is a good part of its time.
So a worker that will be idle soon gets one request more, which it begins by itself. Only what is known to be
cheap, runs on a project that is open there, and would be next anyway; never past the one whose turn it is,
never while nested requests or a reload want a worker. A request that another worker could take after all, or
whose worker turns out to be slow, is recalled; the worker says when it knows of that, and gets nothing else
until then. If it had begun it already, it runs for nothing: so nothing that changes data is handed over.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from math import inf

from qgsd.proxy import placement
from qgsd.proxy.backlog import Backlog
from qgsd.proxy.decisions import Decision, Recall
from qgsd.proxy.flights import Job
from qgsd.proxy.matchmaker import Matchmaker
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.roster import Next, Roster, Worker

# Seconds that a request may take, and a worker may still be busy: what is handed over is a decision made
# before its time, and newcomers whose turn it would be wait for so long more at most.
_CHEAP = 0.5
# A request is recalled when its worker is late by what its present one was to take, or by this.
_LATE = 0.1
# A decision looks at so many at most.
_LOOK_AT = 64


class Prefetch:
    """Knows which requests have been handed over and not been begun."""

    def __init__(self, backlog: Backlog, roster: Roster, projects: Projects, matchmaker: Matchmaker) -> None:
        self._backlog = backlog
        self._roster = roster
        self._projects = projects
        self._matchmaker = matchmaker
        # By the id of the job, in the order of handing over.
        self._handed: dict[str, bytes] = {}
        self._alarms: list[tuple[float, str]] = []

    def next_alarm(self) -> float:
        """When `late` has something to do."""
        while self._alarms and self._alarms[0][1] not in self._handed:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else inf

    # Handing over.

    def hand_over(self, now: float) -> list[Decision]:
        """No worker is idle: those who will be soon get what is next."""
        turns = self._backlog.turns
        decisions: list[Decision] = []
        while self._roster.able and (line := turns.peek()) is not None:
            job = self._backlog[turns.first(line)]
            worker = self._soonest(job, now)
            if worker is None:
                break
            turns.take(line)
            decisions.append(self._hand(job, worker, now))
        return decisions

    def _soonest(self, job: Job, now: float) -> bytes | None:
        key = job.arrival.key
        project = self._projects.get(key)
        if project is None or project.held or project.changing or job.generation != project.generation:
            return None
        # What has been at a worker before has cost it, or was recalled. Neighbours may come meanwhile.
        if job.begun or job.recalled or not job.arrival.idempotent or job.arrival.tile is not None:
            return None
        seconds = self._matchmaker.costs.known(key, job.arrival.kind)
        if seconds is None or seconds > _CHEAP:
            return None
        admitted = self._matchmaker.admits(key, now)
        soonest, done_at = None, inf
        for worker, state in self._candidates(project, job.generation):
            if (
                state.done_at < done_at
                and _soon_idle(state, now)
                and (state.key == key or (admitted and self._is_loaded(worker, state.key)))
            ):
                soonest, done_at = worker, state.done_at
        return soonest

    def _candidates(self, project: Project, generation: int) -> Iterator[tuple[bytes, Worker]]:
        """Workers that may have a request next, and have the project open."""
        able, copies = self._roster.able, project.copies
        few = able if len(able) < len(copies) else reversed(copies)
        for worker in islice(few, _LOOK_AT):
            if worker in able and generation in copies.get(worker, ()):
                yield worker, able[worker]

    def _is_loaded(self, worker: bytes, key: str) -> bool:
        """What it runs has its project open: nobody knows how long loading will take."""
        project = self._projects.get(key)
        return project is not None and worker in project.copies

    def _hand(self, job: Job, worker: bytes, now: float) -> Decision:
        state, key = self._roster[worker], job.arrival.key
        charge, dispatch = self._matchmaker.assign(job, worker, now, warm=True, ahead=True)
        occupies = key != state.key
        if occupies:
            self._matchmaker.bulkhead.began(key)
        self._roster.hand(worker, Next(job.id, key, charge, occupies))
        self._handed[job.id] = worker
        took = state.done_at - state.began_at
        heapq.heappush(self._alarms, (max(state.done_at, now) + max(_LATE, took), job.id))
        return dispatch

    def begin(self, worker: bytes, now: float) -> None:
        """The worker has ended a request and begins what it was handed, if anything."""
        if self._roster[worker].next is None:
            return
        coming = self._roster.begin_next(worker, now)
        del self._handed[coming.id]
        if not coming.occupies:
            self._matchmaker.bulkhead.began(coming.key)
        if job := self._backlog.get(coming.id):
            self._backlog.run(job)

    # Taking back.

    def late(self, now: float) -> list[Decision]:
        """Recall what its worker should have begun long ago."""
        decisions: list[Decision] = []
        while self.next_alarm() <= now:
            decisions += self.recall(heapq.heappop(self._alarms)[1])
        return decisions

    def dropped(self) -> list[Decision]:
        """Recall what nobody waits for any more."""
        return [decision for id in self._backlog.dropped() for decision in self.recall(id)]

    def reclaim(self) -> list[Decision]:
        """Workers are idle: recall what one of them could begin now."""
        return [
            decision
            for id in list(islice(self._handed, _LOOK_AT))
            if self._is_warm_elsewhere(self._backlog[id])
            for decision in self.recall(id)
        ]

    def _is_warm_elsewhere(self, job: Job) -> bool:
        project = self._projects.get(job.arrival.key)
        return project is not None and placement.warm(project, job.generation, self._roster) is not None

    def all(self) -> list[Decision]:
        """Recall everything."""
        return [decision for id in list(self._handed) for decision in self.recall(id)]

    def recall(self, id: str) -> list[Decision]:
        """It waits again, before all others of its line. Nothing happens when its worker has begun it."""
        worker = self._handed.get(id)
        if worker is None:
            return []
        self.give_back(self._roster.recall(worker))
        return [Recall(worker, id)]

    def give_back(self, coming: Next | None) -> str | None:
        """The worker has gone, or does not want it: it waits again. Its id, None when nothing was handed."""
        if coming is None:
            return None
        del self._handed[coming.id]
        self._backlog.shares.refund(coming.charge.tenant, coming.charge.seconds)
        self._backlog.turns.credited(coming.charge.tenant)
        if coming.occupies:
            self._matchmaker.bulkhead.ended(coming.key)
        if job := self._backlog.get(coming.id):
            self._backlog.recall(job)
        return coming.id


def _soon_idle(state: Worker, now: float) -> bool:
    """What it runs ends soon, by what such requests took; it may take twice as long."""
    took = state.done_at - state.began_at
    return state.done_at - now <= _CHEAP and now <= state.done_at + took
