# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's brain: which request goes to which worker, and when one is given up.

Pure: events and the time go in, decisions come out. It knows no socket, no clock
and no message; the dispatcher carries its decisions out. Every request that arrived
ends in exactly one of: its answer finished, `Fail`, `GiveBack`, or `Forget` (its client gone).

Fair by turns over keys (the project): a key with a thousand waiting requests delays
a key with one by at most one request per worker. Charging worker seconds instead of
turns, and placing requests where their project is warm, have their place in `_match`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

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
    Quarantined,
    Reinforce,
    Release,
    Retry,
    Tripped,
)
from qgsd.proxy.displacement import displaced
from qgsd.proxy.quarantine import Quarantine
from qgsd.proxy.turns import Turns

# One that killed its worker is tried once more; one that only happened to be there when its worker
# was killed by somebody else may have bad luck a few times.
MAX_ATTEMPTS = 2
MAX_UNLUCKY_ATTEMPTS = 5


@dataclass(slots=True)
class _Job:
    """A request that has not ended. `worker` is None while it waits."""

    arrival: Arrival
    arrived_at: float
    deadline: float
    queue_deadline: float
    attempt: int = 0
    worker: bytes | None = None
    started: bool = False


@dataclass(slots=True)
class _Worker:
    """`job` is what it runs, of `key`; it stays set when the client was answered without it."""

    job: str | None = None
    key: str = ""
    depth: int = 0
    leaving: bool = False
    reserve: bool = False


class Scheduler:
    """See the module's text. `now` is seconds of any clock that does not go backwards."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.quarantine = Quarantine(limits.quarantine_size, limits.quarantine_ttl)
        self._breakers = Breakers(limits.breaker_timeouts, limits.breaker_pause)
        self._bulkhead = Bulkhead()
        self.limit(limits)
        self._jobs: dict[str, _Job] = {}
        self._turns = Turns()
        # Nested requests come first: a line for each depth, since what they hold up is being served.
        self._nested = Turns()
        self._depths: Counter[int] = Counter()
        self._reserve = 0
        self._waiting = 0
        self._workers: dict[bytes, _Worker] = {}
        self._leaving = 0
        self._idle: dict[bytes, None] = {}
        self._alarms: list[tuple[float, str]] = []
        self._workerless_since: float | None = now
        self._closing = False

    def limit(self, limits: Limits) -> None:
        """Other bounds from now on."""
        self.limits = limits
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
        return len(self._workers) - self._leaving

    @property
    def at_rest(self) -> bool:
        """No request is here any more, and no worker."""
        return not self._jobs and not self._workers

    def worker_names(self) -> list[bytes]:
        return list(self._workers)

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
        if self._waiting and self._workerless_since is not None:
            times.append(self._workerless_since + self.limits.worker_grace)
        return min(times, default=None)

    # Events of requests.

    def arrived(self, arrival: Arrival, now: float) -> list[Decision]:
        if arrival.id in self._jobs:
            return []
        if self._closing:
            return [GiveBack(arrival.peer, arrival.id)]
        self._bulkhead.asked(arrival.key, now)
        if refusal := self._refusal(arrival, now):
            return [refusal]
        decisions = self._make_room(arrival, now)
        deadline = now + arrival.timeout
        job = _Job(arrival, now, deadline, min(deadline, now + self.limits.queue_timeout))
        self._jobs[arrival.id] = job
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

    def peer_gone(self, peer: bytes) -> list[Decision]:
        """An http child has gone, with all its clients."""
        ids = [id for id, job in self._jobs.items() if job.arrival.peer == peer]
        for id in ids:
            self._end(id)
        return [Forget(id) for id in ids]

    # Events of workers.

    def joined(self, worker: bytes, now: float, *, reserve: bool = False) -> list[Decision]:
        """A worker is idle; one of the `reserve` is there for nested requests."""
        if worker in self._workers:
            return []
        self._workers[worker] = _Worker(reserve=reserve)
        self._reserve += reserve
        self._idle[worker] = None
        self._workerless_since = None
        return self._match(now)

    def leaving(self, worker: bytes, now: float) -> list[Decision]:
        """The worker wants to go; it is released when it runs nothing."""
        state = self._workers.get(worker)
        if state is None:
            return [Release(worker)]
        if not state.leaving:
            self._leaving += 1
            self._reserve -= state.reserve
        state.leaving = True
        self._idle.pop(worker, None)
        return self._release(worker, now) if state.job is None else []

    def answering(self, worker: bytes, id: str) -> bytes | None:
        """A piece of an answer came: where it goes, None when it is for nobody."""
        state, job = self._workers.get(worker), self._jobs.get(id)
        if state is None or job is None or state.job != id or job.worker != worker:
            return None
        job.started = True
        return job.arrival.peer

    def finished(self, worker: bytes, id: str, now: float) -> list[Decision]:
        state = self._workers.get(worker)
        if state is None or state.job != id:
            return []
        job = self._jobs.get(id)
        decisions: list[Decision] = []
        if job is not None and job.worker == worker:
            decisions = self._served(job.arrival)
            self._end(id)
        self._vacate(state)
        state.job = None
        if state.leaving:
            # Its key may have one worker more now, though this one goes.
            return [*decisions, *self._release(worker, now), *self._match(now)]
        self._idle[worker] = None
        return [*decisions, *self._match(now)]

    def _served(self, arrival: Arrival) -> list[Decision]:
        self.quarantine.served(arrival.fingerprint)
        if self._breakers.served(arrival.key):
            return [Tripped(arrival.key, 0.0, f"'{arrival.key}' answers again")]
        return []

    def lost(self, worker: bytes, now: float, reason: str, *, own_fault: bool = True) -> list[Decision]:
        """The worker died, by its `own_fault` or not. What it ran is tried again if that is safe."""
        state = self._workers.pop(worker, None)
        if state is None:
            return []
        self._leaving -= state.leaving
        self._reserve -= state.reserve and not state.leaving
        if state.job is not None:
            self._vacate(state)
        self._idle.pop(worker, None)
        self._note_workerless(now)
        job = self._jobs.get(state.job) if state.job is not None else None
        if job is None or job.worker != worker:
            return self._match(now)
        return self._after_loss(job, worker, now, reason, own_fault)

    # Time, and the end.

    def tick(self, now: float) -> list[Decision]:
        """Give up what is over its time."""
        decisions = self._expire(now)
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

        def admits(key: str) -> bool:
            return self._admits(key, now)

        while self._idle:
            id = self._nested.next(self._has_room) or (
                self._turns.next(admits) if self._has_room("0") else None
            )
            if id is None:
                break
            self._waiting -= 1
            # The one that finished last: its caches, and the machine's, are the warmest.
            worker, _ = self._idle.popitem()
            job = self._jobs[id]
            job.worker = worker
            job.attempt += 1
            state = self._workers[worker]
            state.job, state.key, state.depth = id, job.arrival.key, job.arrival.depth
            self._bulkhead.began(state.key)
            self._depths[state.depth] += 1
            self._set_alarm(job.deadline, id)
            queued, remaining = now - job.arrived_at, max(0.0, job.deadline - now)
            decisions.append(Dispatch(worker, id, queued, remaining, job.attempt))
        return decisions + self._reinforcements()

    def _has_room(self, depth: str) -> bool:
        """Requests of a depth leave a worker of the reserve to each depth below.

        So the deepest can always run, and no chain of parents waits for ever.
        """
        level = int(depth)
        taken = sum(self._depths[at] for at in range(level + 1))
        return taken < self.workers - self._reserve + min(level, self._reserve)

    def _reinforcements(self) -> list[Decision]:
        wanted = self.limits.nested_depth
        if not self._nested.lines or self._reserve >= wanted:
            return []
        return [Reinforce(wanted)]

    def _vacate(self, state: _Worker) -> None:
        self._bulkhead.ended(state.key)
        self._depths[state.depth] -= 1

    def _runs_at_once(self, arrival: Arrival, now: float) -> bool:
        """An idle worker is there that what waits may not have, but this request may."""
        allowed = bool(arrival.depth) or self._admits(arrival.key, now)
        return bool(self._idle) and self._has_room(str(arrival.depth)) and allowed

    def _admits(self, key: str, now: float) -> bool:
        return self._bulkhead.admits(key, workers=self.workers, share=self.limits.share, now=now)

    def _overdue(self, job: _Job, now: float) -> list[Decision]:
        arrival = job.arrival
        if job.worker is None and now >= job.queue_deadline:
            self._end(arrival.id)
            if not self._workers:
                return [_no_worker(arrival)]
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
        job.worker = None
        job.queue_deadline = job.deadline
        turns, line = self._line(arrival)
        turns.put_first(line, arrival.id)
        self._waiting += 1
        return [Retry(arrival.id, arrival.key, worker), *self._match(now)]

    def _release(self, worker: bytes, now: float) -> list[Decision]:
        self._leaving -= self._workers.pop(worker).leaving
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
        if job is not None and job.worker is None:
            turns, line = self._line(job.arrival)
            turns.remove(line, id)
            self._waiting -= 1

    def _set_alarm(self, when: float, id: str) -> None:
        heapq.heappush(self._alarms, (when, id))

    def _note_workerless(self, now: float) -> None:
        if not self._workers:
            self._workerless_since = now

    def _hopeless(self, now: float) -> bool:
        since = self._workerless_since
        return not self._workers and since is not None and now - since >= self.limits.worker_grace


def _no_worker(arrival: Arrival) -> Fail:
    message = "no worker is there to run this request; try again shortly"
    return Fail(arrival.peer, arrival.id, 503, "no_worker", message)
