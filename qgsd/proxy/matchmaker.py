# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings requests and idle workers together: whose turn it is, and on which worker.

Fair by turns over keys (the project): a key with a thousand waiting requests delays a key with one by
at most one request per worker. Charging worker seconds instead of turns has its place here.
"""

from __future__ import annotations

from qgsd.proxy import placement
from qgsd.proxy.backlog import Backlog
from qgsd.proxy.bulkhead import Bulkhead
from qgsd.proxy.decisions import Decision, Dispatch, Limits
from qgsd.proxy.errands import Errands
from qgsd.proxy.flights import Job
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.roster import Roster


class Matchmaker:
    """`limits` may be set anew at any time."""

    def __init__(
        self, backlog: Backlog, roster: Roster, projects: Projects, errands: Errands, limits: Limits
    ) -> None:
        self.limits = limits
        self.bulkhead = Bulkhead()
        self._backlog = backlog
        self._roster = roster
        self._projects = projects
        self._errands = errands

    def next(self, now: float) -> list[Decision]:
        """The next request that an idle worker is to run; nothing when there is none to match."""
        if not self._roster.some_idle:
            return []
        chosen = self._next_nested() or self._next_request(now)
        return self._begin(*chosen, now) if chosen else []

    def admits(self, key: str, now: float) -> bool:
        """One more worker may be occupied with this key."""
        share = self.limits.share
        return self.bulkhead.admits(key, workers=self._roster.staying, share=share, now=now)

    def may_begin(self, key: str, now: float) -> bool:
        """A request of this key need not wait for others of its key, nor for a release."""
        project = self._projects.get(key)
        return self.admits(key, now) and not (project is not None and project.held)

    def _next_nested(self) -> tuple[Job, bytes] | None:
        """The next nested request and where: no warm worker is waited for, for it may be a parent."""
        id = self._backlog.nested.next(lambda depth: self._roster.has_room(int(depth)))
        if id is None:
            return None
        job = self._backlog[id]
        project = self._projects.get(job.arrival.key)
        worker = placement.warm(project, job.generation, self._roster) if project else None
        return job, worker or next(self._roster.idle())

    def _next_request(self, now: float) -> tuple[Job, bytes] | None:
        if not self._roster.has_room(0):
            return None
        places: list[bytes] = []

        def placed(key: str) -> bool:
            worker = self._place(key, now) if self.admits(key, now) else None
            places.extend([worker] if worker else [])
            return worker is not None

        id = self._backlog.turns.next(placed)
        return (self._backlog[id], places[0]) if id is not None else None

    def _place(self, key: str, now: float) -> bytes | None:
        """Where the first request in the line of a key is to run now; None if it does better to wait."""
        project = self._projects.get(key)
        job = self._backlog[self._backlog.turns.first(key)]
        if project is None:
            return self._coldest()
        if project.held:
            return None
        if job.generation != project.generation and not project.holders(job.generation):
            self._backlog.stamp(job)
        if worker := placement.warm(project, job.generation, self._roster):
            return worker
        if self._waits_for_warm(job, project, now):
            return None
        return self._coldest()

    def _waits_for_warm(self, job: Job, project: Project, now: float) -> bool:
        if job.passed_at is None:
            job.passed_at = now
            self._backlog.set_alarm(now + project.cold_seconds, job.id)
        if project.changing and job.only_warm:
            return True
        if project.changing or job.only_warm or job.generation != project.generation:
            # A worker that has to load it now would find another version.
            return bool(project.holders(job.generation))
        return placement.worth_waiting(project, job.generation, self._roster, now - job.passed_at, now)

    def _coldest(self) -> bytes | None:
        return placement.coldest(self._roster.idle(), self._projects, self._roster, self.limits.cache_size)

    def _begin(self, job: Job, worker: bytes, now: float) -> list[Decision]:
        arrival = job.arrival
        self._backlog.begin(job, worker, now)
        project = self._projects.known(arrival.key)
        warm = job.generation in project.copies.get(worker, ())
        self._projects.asked(project, warm=warm)
        if warm:
            self._projects.used(worker, project, now)
        if job.passed_at is not None:
            project.waited.add(now - job.passed_at, now)
        expected = project.service_seconds + (0.0 if warm else project.cold_seconds)
        self._roster.begin_job(worker, job.id, arrival.key, arrival.depth, now, expected)
        self.bulkhead.began(arrival.key)
        queued, remaining = now - job.first.arrived_at, max(0.0, job.deadline - now)
        version = project.version if job.generation == project.generation else ""
        dispatch = Dispatch(
            worker, job.id, queued, remaining, job.attempt, job.generation, version, arrival.payload
        )
        room = [] if warm else placement.room(worker, self._projects, self.limits.cache_size, now)
        return [*room, dispatch]

    def note_hot(self, now: float) -> None:
        """Requests wait though workers are idle: for their project one worker is not enough."""
        if not self._roster.some_idle:
            return
        full = placement.all_full(self._roster.idle(), self._projects, self.limits.cache_size)
        for key, line in self._backlog.turns.lines.items():
            project = self._projects.get(key)
            if not project or not self.admits(key, now):
                continue
            if placement.worth_spreading(project, len(line), now, full=full):
                self._errands.want(key, copies=len(project.copies) + 1, until=now)
