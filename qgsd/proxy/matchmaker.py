# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings requests and idle workers together: whose turn it is, and on which worker.

Fair in workers' time over tenants (`shares`); where several workers are idle, placement decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from qgsd.proxy import placement
from qgsd.proxy.backlog import Backlog
from qgsd.proxy.bulkhead import Bulkhead
from qgsd.proxy.costs import Costs
from qgsd.proxy.decisions import Decision, Dispatch, Limits
from qgsd.proxy.errands import Errands
from qgsd.proxy.flights import Job
from qgsd.proxy.metatiles import Metatiles
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.roster import Charge, Roster, Worker
from qgsd.proxy.turns import Line

# A request that has to load its project lets others go first that need not for so many times as long as
# that takes.
_PUT_OFF = 4.0


class Matchmaker:
    """`limits` may be set anew at any time."""

    def __init__(
        self, backlog: Backlog, roster: Roster, projects: Projects, errands: Errands, limits: Limits
    ) -> None:
        self.limits = limits
        self.bulkhead = Bulkhead()
        self.costs = Costs()
        self.metatiles = Metatiles(backlog, roster, self.costs)
        # Whether idle workers have no room for a further project, once that has been asked.
        self._full: bool | None = None
        self._backlog = backlog
        self._roster = roster
        self._projects = projects
        self._errands = errands

    def next(self, now: float) -> list[Decision]:
        """The next request that an idle worker is to run; nothing when there is none to match."""
        self._full = None
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
        id = self._backlog.nested.next(self._roster.has_room)
        if id is None:
            return None
        job = self._backlog[id]
        project = self._projects.get(job.arrival.key)
        worker = placement.warm(project, job.generation, self._roster) if project else None
        return job, worker or next(self._roster.idle())

    def _next_request(self, now: float) -> tuple[Job, bytes] | None:
        if not self._roster.has_room(0):
            return None
        found = self._backlog.turns.next(lambda line, last: self._serve(line, last, now))
        return (self._backlog[found[0]], found[1]) if found else None

    def _serve(self, line: Line, last: bool, now: float) -> bytes | None:
        """Where the first request of the line is to run now; None if it does better to wait, or has to.

        Where it had to be loaded is for the `last` only, unless it has been put off for long: others may find
        their project open there. Under load all would else close each other's projects.
        """
        key = line.project
        if not self.admits(key, now):
            return None
        job = self._backlog[self._backlog.turns.first(line)]
        worker = self._place(job, now)
        if worker is not None and not last and self._may_be_put_off(job, worker, now):
            self._backlog.turns.put_off(line)
            return None
        if worker is None and (project := self._projects.get(key)):
            self._consider_copy(project, now)
        return worker

    def _place(self, job: Job, now: float) -> bytes | None:
        project = self._projects.get(job.arrival.key)
        if project is None:
            return self._coldest()
        if project.held:
            return None
        if job.generation != project.generation and not project.is_open_somewhere(job.generation):
            self._backlog.stamp(job)
        if worker := placement.warm(project, job.generation, self._roster):
            return worker
        if self._waits_for_warm(job, project, now):
            return None
        return self._coldest()

    def _may_be_put_off(self, job: Job, worker: bytes, now: float) -> bool:
        project = self._projects.get(job.arrival.key)
        if project is None or worker in project.copies or not project.load_seconds:
            return False
        if job.put_off_until is None:
            job.put_off_until = now + _PUT_OFF * project.cold_seconds
            self._backlog.set_alarm(job.put_off_until, job.id)
        return now < job.put_off_until

    def _waits_for_warm(self, job: Job, project: Project, now: float) -> bool:
        if job.passed_at is None:
            job.passed_at = now
            if project.cold_seconds:
                until = now + placement.cold_cost(project, full=self._is_full())
                self._backlog.set_alarm(until, job.id)
        if project.changing and job.only_warm:
            return True
        if project.changing or job.only_warm or job.generation != project.generation:
            # A worker that has to load it now would find another version.
            return project.is_open_somewhere(job.generation)
        waited = now - job.passed_at
        return placement.worth_waiting(
            project, job.generation, self._roster, waited, now, full=self._is_full()
        )

    def _is_full(self) -> bool:
        """No idle worker has room for a further project."""
        if self._full is None:
            self._full = placement.all_full(self._roster.idle(), self._projects, self.limits.cache_size)
        return self._full

    def _coldest(self) -> bytes | None:
        return placement.coldest(self._roster.idle(), self._projects, self._roster, self.limits.cache_size)

    def _begin(self, job: Job, worker: bytes, now: float) -> list[Decision]:
        arrival = job.arrival
        warm = job.generation in self._projects.known(arrival.key).copies.get(worker, ())
        beside = self.metatiles.gather(job, worker, now) if arrival.tile is not None else []
        charge, dispatch = self.assign(job, worker, now, warm=warm, beside=beside)
        self._roster.begin_job(worker, job.id, arrival.key, arrival.depth, charge)
        if beside:
            self._roster.join(worker, (other.id for other in beside))
            for _ in beside:
                self._projects.asked(self._projects.known(arrival.key), warm=warm)
        self.bulkhead.began(arrival.key)
        room = [] if warm else placement.room(worker, self._projects, self.limits.cache_size, now)
        return [*room, dispatch]

    def assign(
        self,
        job: Job,
        worker: bytes,
        now: float,
        *,
        warm: bool,
        ahead: bool = False,
        beside: Sequence[Job] = (),
    ) -> tuple[Charge, Dispatch]:
        """The job has been taken from its line for this worker: who pays for it, and what is sent.

        Those `beside` it are rendered with it.
        """
        arrival = job.arrival
        self._backlog.begin(job, worker, now, ahead=ahead)
        project = self._projects.known(arrival.key)
        self._projects.asked(project, warm=warm)
        if warm:
            self._projects.used(worker, project, now)
        if job.passed_at is not None:
            project.waited.add(now - job.passed_at, now)
        each = self.costs.expected(arrival.key, arrival.kind)
        expected = each * (1 + len(beside)) + (0.0 if warm else project.cold_seconds)
        charge = Charge(arrival.tenant or arrival.key, arrival.kind, now, expected)
        self._backlog.shares.charge(charge.tenant, expected)
        queued = now - job.first.arrived_at
        remaining = max(0.0, max(one.deadline for one in (job, *beside)) - now)
        version = project.version if job.generation == project.generation else ""
        dispatch = Dispatch(
            worker,
            job.id,
            queued,
            remaining,
            job.attempt,
            job.generation,
            version,
            arrival.payload,
            self.metatiles.told(beside, now) if beside else (),
        )
        return charge, dispatch

    def settle(self, state: Worker, now: float, *, free: bool = False) -> None:
        """What the worker ran has ended, or the worker: its tenant pays for the time unless it is `free`."""
        if (charge := state.charge) is None:
            return
        took = now - charge.at
        if free:
            self._backlog.shares.refund(charge.tenant, charge.seconds)
        else:
            self._backlog.shares.settle(charge.tenant, charge.seconds, took)
        if free or took < charge.seconds:
            self._backlog.turns.credited(charge.tenant)

    def served(self, state: Worker, now: float) -> None:
        """The worker has answered: what that took is what to expect of the next one like it."""
        if state.charge is not None and not state.loaded:
            self.costs.learn(state.key, state.charge.kind, (now - state.began_at) / state.tiles)

    def freed(self, worker: bytes, key: str) -> None:
        """It has served the key, and goes on unless it leaves: what waits for either may have its turn."""
        turns = self._backlog.turns
        if not turns.parked:
            return
        turns.wake(key)
        state = self._roster.get(worker)
        if state is not None and not state.leaving:
            turns.wake_some(project.key for project, _ in self._projects.open_in(worker))

    def _consider_copy(self, project: Project, now: float) -> None:
        """Its requests wait though workers are idle: one worker may not be enough."""
        backlog = self._backlog.turns.length(project.key)
        if placement.worth_spreading(project, backlog, now, full=self._is_full()):
            self._errands.want(project.key, copies=len(project.copies) + 1, until=now)
