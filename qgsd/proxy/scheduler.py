# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's brain: which request goes to which worker, and when one is given up.

Pure: events and the time go in, decisions come out. It knows no socket, no clock
and no message; the dispatcher carries its decisions out. Every request that arrived
ends in exactly one of: its answer finished, `Fail`, `GiveBack`, or `Forget` (its client gone).

Fair by turns over keys (the project): a key with a thousand waiting requests delays
a key with one by at most one request per worker. Which worker is `placement`'s to say; what
workers load, and when a project changes, is the `keeper`'s. Charging worker seconds instead
of turns has its place in `_match`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from qgsd.proxy import placement
from qgsd.proxy.breaker import Breakers
from qgsd.proxy.bulkhead import Bulkhead
from qgsd.proxy.decisions import (
    Arrival,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Loaded,
    Quarantined,
    Reinforce,
    Release,
    Retry,
    Tripped,
)
from qgsd.proxy.displacement import displaced
from qgsd.proxy.keeper import Keeper, Verb
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.quarantine import Quarantine
from qgsd.proxy.roster import Roster, Worker
from qgsd.proxy.turns import Turns

# One that killed its worker is tried once more; one that only happened to be there when its worker
# was killed by somebody else may have bad luck a few times.
MAX_ATTEMPTS = 2
MAX_UNLUCKY_ATTEMPTS = 5


@dataclass(slots=True)
class _Job:
    """A request that has not ended. `worker` is None while it waits.

    It runs on this `generation` of its project. `passed_at`: when an idle worker was first left to others
    because one with the project open will be free soon.
    """

    arrival: Arrival
    arrived_at: float
    deadline: float
    queue_deadline: float
    attempt: int = 0
    worker: bytes | None = None
    started: bool = False
    generation: int = 0
    passed_at: float | None = None
    only_warm: bool = False


class Scheduler:
    """See the module's text. `now` is seconds of any clock that does not go backwards."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.quarantine = Quarantine(limits.quarantine_size, limits.quarantine_ttl)
        self._breakers = Breakers(limits.breaker_timeouts, limits.breaker_pause)
        self._bulkhead = Bulkhead()
        self._projects = Projects()
        self._roster = Roster()
        self.keeper = Keeper(self._projects, self._roster, limits)
        self.limit(limits)
        self._jobs: dict[str, _Job] = {}
        self._turns = Turns()
        # Nested requests come first: a line for each depth, since what they hold up is being served.
        self._nested = Turns()
        self._waiting = 0
        # Projects of which the last request of some generation has ended.
        self._settled: set[str] = set()
        self._alarms: list[tuple[float, str]] = []
        self._workerless_since: float | None = now
        self._closing = False

    def limit(self, limits: Limits) -> None:
        """Other bounds from now on."""
        self.limits = self.keeper.limits = limits
        self.quarantine.size, self.quarantine.ttl = limits.quarantine_size, limits.quarantine_ttl
        self._breakers.timeouts, self._breakers.pause = limits.breaker_timeouts, limits.breaker_pause

    # What people and the dispatcher may ask.

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._waiting

    @property
    def workers(self) -> int:
        """Workers that have joined and are not leaving."""
        return self._roster.staying

    @property
    def at_rest(self) -> bool:
        """No request is here any more, and no worker."""
        return not self._jobs and not len(self._roster)

    def worker_names(self) -> list[bytes]:
        return self._roster.names()

    def worker_of(self, id: str) -> bytes | None:
        """The worker that runs the request, if one does."""
        job = self._jobs.get(id)
        return job.worker if job else None

    def is_open(self, id: str) -> bool:
        """The request has arrived and not ended."""
        return id in self._jobs

    def next_alarm(self) -> float | None:
        """When `tick` has something to do at the latest."""
        while self._alarms and self._alarms[0][1] not in self._jobs:
            heapq.heappop(self._alarms)
        times = [self._alarms[0][0]] if self._alarms else []
        if (reserve := self.keeper.reloads.next_alarm()) is not None:
            times.append(reserve)
        if self._waiting and self._workerless_since is not None:
            times.append(self._workerless_since + self.limits.worker_grace)
        return min(times, default=None)

    # Events of requests.

    def arrived(self, arrival: Arrival, now: float) -> list[Decision]:
        if arrival.id in self._jobs:
            return []
        if self._closing:
            return [GiveBack(arrival.peer, arrival.id)]
        if arrival.depth > self.limits.nested_depth:
            return self._looped(arrival)
        self._bulkhead.asked(arrival.key, now)
        if refusal := self._refusal(arrival, now):
            return [refusal]
        decisions = self._make_room(arrival, now)
        deadline = now + arrival.timeout
        job = _Job(arrival, now, deadline, min(deadline, now + self.limits.queue_timeout))
        self._jobs[arrival.id] = job
        self._stamp(job)
        self._enqueue(job)
        self._set_alarm(job.queue_deadline, arrival.id)
        return decisions + self._match(now)

    def _refusal(self, arrival: Arrival, now: float) -> Fail | None:
        """Why a request is not even queued."""
        peer, id = arrival.peer, arrival.id
        if self._hopeless(now):
            return _no_worker(arrival)
        if self.quarantine.blocks(arrival.fingerprint, now):
            message = f"this request crashed QGIS before and is not run for a while ({arrival.fingerprint})"
            return Fail(peer, id, 500, "quarantined", message)
        if self._is_full_for(arrival, now) and self._displaced_by(arrival) is None:
            return self._queue_full(arrival)
        if wait := self._breakers.refuses(arrival.key, now):
            message = f"'{arrival.key}' has not answered in time lately; try again in {wait:.0f} s"
            return Fail(peer, id, 503, "project_unavailable", message, retry_after=wait)
        return None

    def _is_full_for(self, arrival: Arrival, now: float) -> bool:
        return self._waiting >= self.limits.max_queue and not self._runs_at_once(arrival, now)

    def _displaced_by(self, arrival: Arrival) -> str | None:
        own = 0 if arrival.depth else len(self._turns.waiting(arrival.key))
        return displaced(self._turns.lines, own)

    def _make_room(self, arrival: Arrival, now: float) -> list[Decision]:
        """In a full queue another request has to go for this one."""
        if not self._is_full_for(arrival, now):
            return []
        gone = self._displaced_by(arrival)
        assert gone is not None, "it would have been refused"
        refusal = self._queue_full(self._jobs[gone].arrival)
        self._end(gone)
        return [refusal]

    def _queue_full(self, arrival: Arrival) -> Fail:
        message = f"the queue is full ({self._waiting} requests wait); try again shortly"
        return Fail(arrival.peer, arrival.id, 503, "queue_full", message)

    def cancelled(self, id: str) -> list[Decision]:
        """The client has gone: a waiting request is dropped, a running one runs for nothing."""
        if id not in self._jobs:
            return []
        self._end(id)
        return [Forget(id)]

    def _looped(self, arrival: Arrival) -> list[Decision]:
        """It asks for itself: it and all that wait for it are answered 508 (RFC 5842), their workers run on.

        All at once, or one of them would end first with an error of QGIS that tells nothing.
        """
        message = (
            f"projects ask this server for maps of itself more than {self.limits.nested_depth} levels "
            "deep: a loop"
        )
        decisions: list[Decision] = [Fail(arrival.peer, arrival.id, 508, "loop_detected", message)]
        id = arrival.parent
        while job := self._jobs.get(id):
            decisions.append(Fail(job.arrival.peer, id, 508, "loop_detected", message))
            self._end(id)
            id = job.arrival.parent
        return decisions

    def peer_gone(self, peer: bytes) -> list[Decision]:
        """An http child has gone, with all its clients."""
        ids = [id for id, job in self._jobs.items() if job.arrival.peer == peer]
        for id in ids:
            self._end(id)
        return [Forget(id) for id in ids]

    # Events of workers.

    def joined(
        self, worker: bytes, now: float, *, reserve: bool = False, has_open: Sequence[Loaded] = ()
    ) -> list[Decision]:
        """A worker is idle; one of the `reserve` is there for nested requests."""
        if worker in self._roster:
            return []
        self._roster.add(worker, reserve=reserve)
        self._workerless_since = None
        return [*self.keeper.joined(worker, has_open, now), *self._match(now)]

    def leaving(self, worker: bytes, now: float) -> list[Decision]:
        """The worker wants to go; it is released when it runs nothing."""
        state = self._roster.get(worker)
        if state is None:
            return [Release(worker)]
        if state.leaving:
            return []
        self._roster.leave(worker)
        decisions = self.keeper.worker_gone(worker, now)
        if not state.at_work:
            decisions += self._release(worker, now)
        return [*decisions, *self._match(now)]

    def answering(self, worker: bytes, id: str) -> bytes | None:
        """A piece of an answer came: where it goes, None when it is for nobody."""
        state, job = self._roster.get(worker), self._jobs.get(id)
        if state is None or job is None or state.job != id or job.worker != worker:
            return None
        job.started = True
        return job.arrival.peer

    def finished(self, worker: bytes, id: str, now: float) -> list[Decision]:
        state = self._roster.get(worker)
        if state is None or state.job != id:
            return []
        job = self._jobs.get(id)
        decisions: list[Decision] = []
        if job is not None and job.worker == worker:
            decisions = self._served(job.arrival)
            self._end(id)
        if (project := self._projects.get(state.key)) and worker in project.copies:
            self._projects.measured_service(project, now - state.began_at)
        self._vacate(worker, state)
        if state.leaving:
            decisions += self._release(worker, now)
        # Also when it leaves: its key may have one worker more now.
        return [*decisions, *self._match(now)]

    def _served(self, arrival: Arrival) -> list[Decision]:
        self.quarantine.served(arrival.fingerprint)
        if self._breakers.served(arrival.key):
            return [Tripped(arrival.key, 0.0, f"'{arrival.key}' answers again")]
        return []

    def lost(self, worker: bytes, now: float, reason: str, *, own_fault: bool = True) -> list[Decision]:
        """The worker died, by its `own_fault` or not. What it ran is tried again if that is safe."""
        if worker not in self._roster:
            return []
        state = self._roster.remove(worker)
        decisions = [] if state.leaving else self.keeper.worker_gone(worker, now, reason if own_fault else "")
        if state.errand is not None:
            decisions += self.keeper.errand_lost(state.errand, reason)
        if state.job is not None:
            self._bulkhead.ended(state.key)
        self._note_workerless(now)
        job = self._jobs.get(state.job) if state.job is not None else None
        if job is None or job.worker != worker:
            return [*decisions, *self._match(now)]
        return [*decisions, *self._after_loss(job, worker, now, reason, own_fault)]

    # Events of projects.

    def loaded(self, worker: bytes, loaded: Loaded, now: float) -> list[Decision]:
        """A worker has loaded a project, for a request or because it was told to, or it could not."""
        state = self._roster.get(worker)
        if state is None:
            return []
        decisions = self.keeper.loaded(worker, loaded, now)
        if state.leaving and not state.at_work:
            decisions += self._release(worker, now)
        # The time it takes to load says nothing of what a request takes.
        state.began_at = now
        return [*decisions, *self._match(now)]

    def closed(self, worker: bytes, key: str, keep: int) -> list[Decision]:
        """A worker has closed a project; see `Keeper.closed`."""
        return self.keeper.closed(worker, key, keep) if worker in self._roster else []

    def changed(self, key: str, version: str, now: float) -> list[Decision]:
        """A worker has seen another content; see `Keeper.changed`."""
        return [*self.keeper.changed(key, version, now), *self._match(now)]

    def superseded(self, worker: bytes, id: str, version: str, now: float) -> list[Decision]:
        """The worker would have had to load the version that is served, and found only this other one."""
        state = self._roster.get(worker)
        if state is None or state.job != id:
            return []
        key = state.key
        self._vacate(worker, state)
        decisions = self._release(worker, now) if state.leaving else []
        project = self._projects.known(key)
        if not project.holders(project.generation) and key not in self.keeper.reloads:
            # Nobody has the old one any more: what is there is what is served.
            project.generation, project.version = project.generation + 1, ""
        job = self._jobs.get(id)
        if job is not None and job.worker == worker:
            job.attempt -= 1
            job.only_warm = True
            self._put_back(job)
        return [*decisions, *self.keeper.changed(key, version, now), *self._match(now)]

    def order(self, ticket: int, verb: Verb, name: str, now: float) -> tuple[list[str], list[Decision]]:
        """What a person wants done with projects; see `Keeper.order`."""
        keys, decisions = self.keeper.order(ticket, verb, name, now)
        return keys, [*decisions, *self._match(now)]

    def wanted(self, pinned: Sequence[str], held: Sequence[str], now: float) -> list[Decision]:
        """Which projects are pinned, and which on hold."""
        self.keeper.wanted(pinned, held)
        return self._match(now)

    # Time, and the end.

    def tick(self, now: float) -> list[Decision]:
        """Give up what is over its time, and begin what has waited for long enough for a warm worker."""
        alarm = self.next_alarm()
        decisions = self._match(now) if alarm is not None and alarm <= now else self._expire(now)
        decisions += self._release_old()
        if self._hopeless(now):
            for id in [id for id, job in self._jobs.items() if job.worker is None]:
                decisions.append(_no_worker(self._jobs[id].arrival))
                self._end(id)
        return decisions

    def close(self) -> list[Decision]:
        """Take nothing new; what waits is given back, what runs may finish."""
        self._closing = True
        waiting = [job.arrival for job in self._jobs.values() if job.worker is None]
        for arrival in waiting:
            self._end(arrival.id)
        return [GiveBack(arrival.peer, arrival.id) for arrival in waiting]

    # Inside.

    def _expire(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        while self._alarms and self._alarms[0][0] <= now:
            _, id = heapq.heappop(self._alarms)
            if job := self._jobs.get(id):
                decisions += self._overdue(job, now)
        return decisions

    def _match(self, now: float) -> list[Decision]:
        # First, for what is over its time must not be begun, though no tick has come since.
        decisions = self._expire(now)
        if self._closing:
            return decisions
        # Before requests: under load no worker would ever be idle for long enough to prepare a new version.
        decisions += self.keeper.reloads.start_some(now)
        while self._roster.some_idle:
            chosen = self._next_nested() or self._next_request(now)
            if chosen is None:
                break
            decisions.append(self._begin(*chosen, now))
        self._note_hot(now)
        decisions += self._release_old()
        return [*decisions, *self.keeper.start_errands(now), *self._reinforcements()]

    def _next_nested(self) -> tuple[_Job, bytes] | None:
        """The next nested request and where: no warm worker is waited for, for it may be a parent."""
        id = self._nested.next(lambda depth: self._roster.has_room(int(depth)))
        if id is None:
            return None
        job = self._jobs[id]
        project = self._projects.get(job.arrival.key)
        worker = placement.warm(project, job.generation, self._roster) if project else None
        return job, worker or next(self._roster.idle())

    def _next_request(self, now: float) -> tuple[_Job, bytes] | None:
        if not self._roster.has_room(0):
            return None
        places: list[bytes] = []

        def placed(key: str) -> bool:
            worker = self._place(key, now) if self._admits(key, now) else None
            places.extend([worker] if worker else [])
            return worker is not None

        id = self._turns.next(placed)
        return (self._jobs[id], places[0]) if id is not None else None

    def _place(self, key: str, now: float) -> bytes | None:
        """Where the first request in the line of a key is to run now; None if it does better to wait."""
        project = self._projects.get(key)
        job = self._jobs[self._turns.first(key)]
        if project is None:
            return self._coldest()
        if project.held:
            return None
        if job.generation != project.generation and not project.holders(job.generation):
            self._stamp(job)
        if worker := placement.warm(project, job.generation, self._roster):
            return worker
        if self._waits_for_warm(job, project, now):
            return None
        return self._coldest()

    def _waits_for_warm(self, job: _Job, project: Project, now: float) -> bool:
        if job.passed_at is None:
            job.passed_at = now
            self._set_alarm(now + project.load_seconds, job.arrival.id)
        if project.changing and job.only_warm:
            return True
        if project.changing or job.only_warm or job.generation != project.generation:
            # A worker that has to load it now would find another version.
            return bool(project.holders(job.generation))
        return placement.worth_waiting(project, job.generation, self._roster, now - job.passed_at, now)

    def _coldest(self) -> bytes | None:
        return placement.coldest(self._roster.idle(), self._projects, self._roster, self.limits.cache_size)

    def _begin(self, job: _Job, worker: bytes, now: float) -> Dispatch:
        arrival = job.arrival
        self._waiting -= 1
        job.worker = worker
        job.attempt += 1
        project = self._projects.known(arrival.key)
        warm = job.generation in project.copies.get(worker, ())
        project.requests += 1
        project.hits += warm
        if warm:
            self._projects.used(worker, project, now)
        if job.passed_at is not None:
            project.waited.add(now - job.passed_at, now)
        expected = project.service_seconds + (0.0 if warm else project.load_seconds)
        self._roster.begin_job(worker, arrival.id, arrival.key, arrival.depth, now, expected)
        self._bulkhead.began(arrival.key)
        self._set_alarm(job.deadline, arrival.id)
        queued, remaining = now - job.arrived_at, max(0.0, job.deadline - now)
        version = project.version if job.generation == project.generation else ""
        return Dispatch(worker, arrival.id, queued, remaining, job.attempt, job.generation, version)

    def _note_hot(self, now: float) -> None:
        """Requests wait though workers are idle: for their project one worker is not enough."""
        if not self._roster.some_idle:
            return
        for key, line in self._turns.lines.items():
            project = self._projects.get(key)
            if project and placement.worth_spreading(project, len(line), now) and self._admits(key, now):
                self.keeper.errands.want(key, further=True)

    def _reinforcements(self) -> list[Decision]:
        wanted = self.limits.nested_depth
        if not self._nested.lines or self._roster.reserve >= wanted:
            return []
        return [Reinforce(wanted)]

    def _vacate(self, worker: bytes, state: Worker) -> None:
        self._bulkhead.ended(state.key)
        self._roster.end_work(worker)

    def _stamp(self, job: _Job) -> None:
        """It runs on the generation of now."""
        project = self._projects.known(job.arrival.key)
        self._unstamp(job, project)
        job.generation = project.generation
        project.stamped[job.generation] += 1

    def _unstamp(self, job: _Job, project: Project) -> None:
        if not job.generation:
            return
        project.stamped[job.generation] -= 1
        if not project.stamped[job.generation]:
            del project.stamped[job.generation]
            self._settled.add(project.key)

    def _release_old(self) -> list[Decision]:
        """The last request of an old generation may have ended."""
        decisions: list[Decision] = []
        while self._settled:
            project = self._projects.get(self._settled.pop())
            if project is not None:
                decisions += self.keeper.reloads.release_old(project)
                self._projects.forget_unused(project)
        return decisions

    def _runs_at_once(self, arrival: Arrival, now: float) -> bool:
        """An idle worker is there that what waits may not have, but this request may."""
        allowed = bool(arrival.depth) or (self._admits(arrival.key, now) and not self._is_held(arrival.key))
        return self._roster.some_idle and self._roster.has_room(arrival.depth) and allowed

    def _admits(self, key: str, now: float) -> bool:
        return self._bulkhead.admits(key, workers=self.workers, share=self.limits.share, now=now)

    def _overdue(self, job: _Job, now: float) -> list[Decision]:
        arrival = job.arrival
        if job.worker is None and now >= job.queue_deadline:
            self._end(arrival.id)
            if not len(self._roster):
                return [_no_worker(arrival)]
            if self._is_held(arrival.key):
                return [_held(arrival)]
            waited = f"no worker was free within {now - job.arrived_at:.1f} s"
            return [Fail(arrival.peer, arrival.id, 504, "queue_timeout", waited)]
        if now >= job.deadline:
            self._end(arrival.id)
            message = f"no complete answer within the deadline of {arrival.timeout:.3g} s"
            return [Fail(arrival.peer, arrival.id, 504, "timeout", message), *self._trip(arrival.key, now)]
        return []

    def _trip(self, key: str, now: float) -> list[Decision]:
        """A request of the key timed out while it ran; what waits behind it may have to give up too."""
        pause = self._breakers.timed_out(key, now)
        if not pause:
            return []
        message = f"'{key}' timed out again and again, its requests are refused for {pause:g} s"
        decisions: list[Decision] = [Tripped(key, pause, message)]
        for id in self._turns.waiting(key):
            peer = self._jobs[id].arrival.peer
            decisions.append(Fail(peer, id, 503, "project_unavailable", message, retry_after=pause))
            self._end(id)
        return decisions

    def _after_loss(
        self, job: _Job, worker: bytes, now: float, reason: str, own_fault: bool
    ) -> list[Decision]:
        arrival = job.arrival
        mark = arrival.fingerprint
        if own_fault and self.quarantine.killed(mark, arrival.key, arrival.description, reason, now):
            self._end(arrival.id)
            message = (
                f"QGIS crashed twice on this request and will not run it again for a while ({mark}): {reason}"
            )
            failed = Fail(arrival.peer, arrival.id, 500, "quarantined", message)
            return [Quarantined(arrival.id, mark, arrival.key, reason), failed, *self._match(now)]
        return self._retry_or_fail(
            job, worker, now, reason, MAX_ATTEMPTS if own_fault else MAX_UNLUCKY_ATTEMPTS
        )

    def _retry_or_fail(
        self, job: _Job, worker: bytes, now: float, reason: str, attempts: int
    ) -> list[Decision]:
        arrival = job.arrival
        repeatable = arrival.idempotent and not job.started
        if repeatable and self._closing:
            self._end(arrival.id)
            return [GiveBack(arrival.peer, arrival.id)]
        if not repeatable or job.attempt >= attempts:
            self._end(arrival.id)
            message = f"QGIS failed on this request: {reason}"
            return [Fail(arrival.peer, arrival.id, 500, "worker_lost", message), *self._match(now)]
        self._put_back(job)
        return [Retry(arrival.id, arrival.key, worker), *self._match(now)]

    def _put_back(self, job: _Job) -> None:
        """It waits again, before all others of its line."""
        job.worker = None
        job.queue_deadline = job.deadline
        turns, line = self._line(job.arrival)
        turns.put_first(line, job.arrival.id)
        self._waiting += 1

    def _is_held(self, key: str) -> bool:
        project = self._projects.get(key)
        return project is not None and project.held

    def _release(self, worker: bytes, now: float) -> list[Decision]:
        self._roster.remove(worker)
        self._note_workerless(now)
        return [Release(worker)]

    def _line(self, arrival: Arrival) -> tuple[Turns, str]:
        """Where a request waits: with its key, or with those of its depth."""
        return (self._nested, str(arrival.depth)) if arrival.depth else (self._turns, arrival.key)

    def _enqueue(self, job: _Job) -> None:
        turns, line = self._line(job.arrival)
        turns.append(line, job.arrival.id)
        self._waiting += 1

    def _end(self, id: str) -> None:
        job = self._jobs.pop(id, None)
        if job is None:
            return
        if project := self._projects.get(job.arrival.key):
            self._unstamp(job, project)
        if job.worker is None:
            turns, line = self._line(job.arrival)
            turns.remove(line, id)
            self._waiting -= 1

    def _set_alarm(self, when: float, id: str) -> None:
        heapq.heappush(self._alarms, (when, id))

    def _note_workerless(self, now: float) -> None:
        if not len(self._roster):
            self._workerless_since = now

    def _hopeless(self, now: float) -> bool:
        since = self._workerless_since
        return not len(self._roster) and since is not None and now - since >= self.limits.worker_grace


def _no_worker(arrival: Arrival) -> Fail:
    message = "no worker is there to run this request; try again shortly"
    return Fail(arrival.peer, arrival.id, 503, "no_worker", message)


def _held(arrival: Arrival) -> Fail:
    message = f"'{arrival.key}' is being replaced; try again shortly"
    return Fail(arrival.peer, arrival.id, 503, "project_on_hold", message, retry_after=10.0)
