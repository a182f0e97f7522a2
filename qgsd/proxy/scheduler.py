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
from collections import deque
from dataclasses import dataclass, field

MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the operator sets; seconds. `worker_grace`: how long to hope for a first worker."""

    max_queue: int
    queue_timeout: float
    worker_grace: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the scheduler has to know of a request. `peer` is where its answer goes."""

    id: str
    peer: bytes
    key: str
    idempotent: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send the request to the worker. Seconds it waited, seconds it has left, which attempt it is."""

    worker: bytes
    id: str
    queued: float
    remaining: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the client; `status` as HTTP has it, `code` a word, `message` for people."""

    peer: bytes
    id: str
    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Hand an unstarted request back to its http child: this dispatcher leaves."""

    peer: bytes
    id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """For the record: the request goes back to the queue because its worker was lost."""

    id: str
    key: str
    worker: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Nobody waits for the request any more."""

    id: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let the worker go: nothing more will be sent to it."""

    worker: bytes


Decision = Dispatch | Fail | GiveBack | Retry | Forget | Release


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
    """`job` is what it runs; it stays set (`abandoned`) when the client was answered without it."""

    job: str | None = None
    leaving: bool = False


@dataclass(slots=True)
class _Turns:
    """Waiting requests, a line a key; each turn serves the key at the front and sends it to the back."""

    lines: dict[str, deque[str]] = field(default_factory=dict)

    def append(self, key: str, id: str) -> None:
        self.lines.setdefault(key, deque()).append(id)

    def put_first(self, key: str, id: str) -> None:
        line = self.lines.pop(key, deque())
        line.appendleft(id)
        self.lines = {key: line, **self.lines}

    def next(self) -> str | None:
        if not self.lines:
            return None
        key = next(iter(self.lines))
        line = self.lines.pop(key)
        id = line.popleft()
        if line:
            self.lines[key] = line
        return id

    def remove(self, key: str, id: str) -> None:
        line = self.lines[key]
        line.remove(id)
        if not line:
            del self.lines[key]


class Scheduler:
    """See the module's text. `now` is seconds of any clock that does not go backwards."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self._jobs: dict[str, _Job] = {}
        self._turns = _Turns()
        self._waiting = 0
        self._workers: dict[bytes, _Worker] = {}
        self._idle: dict[bytes, None] = {}
        self._alarms: list[tuple[float, str]] = []
        self._workerless_since: float | None = now
        self._closing = False

    # What people and the dispatcher may ask.

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._waiting

    @property
    def workers(self) -> int:
        """Workers that have joined and are not leaving."""
        return sum(not worker.leaving for worker in self._workers.values())

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
        if self._closing:
            return [GiveBack(arrival.peer, arrival.id)]
        if arrival.id in self._jobs:
            return []
        if self._hopeless(now):
            return [_no_worker(arrival)]
        if self._waiting >= self.limits.max_queue and not self._idle:
            message = f"the queue is full ({self._waiting} requests wait); try again shortly"
            return [Fail(arrival.peer, arrival.id, 503, "queue_full", message)]
        deadline = now + arrival.timeout
        job = _Job(arrival, now, deadline, min(deadline, now + self.limits.queue_timeout))
        self._jobs[arrival.id] = job
        self._enqueue(job)
        self._set_alarm(job.queue_deadline, arrival.id)
        return self._match(now)

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

    def joined(self, worker: bytes, now: float) -> list[Decision]:
        if worker in self._workers:
            return []
        self._workers[worker] = _Worker()
        self._idle[worker] = None
        self._workerless_since = None
        return self._match(now)

    def leaving(self, worker: bytes, now: float) -> list[Decision]:
        """The worker wants to go; it is released when it runs nothing."""
        state = self._workers.get(worker)
        if state is None:
            return [Release(worker)]
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
        if job is not None and job.worker == worker:
            self._end(id)
        state.job = None
        if state.leaving:
            return self._release(worker, now)
        self._idle[worker] = None
        return self._match(now)

    def lost(self, worker: bytes, now: float, reason: str) -> list[Decision]:
        """The worker died. What it ran is tried once more if that is safe, else it fails."""
        state = self._workers.pop(worker, None)
        if state is None:
            return []
        self._idle.pop(worker, None)
        self._note_workerless(now)
        job = self._jobs.get(state.job) if state.job is not None else None
        if job is None or job.worker != worker:
            return []
        return self._retry_or_fail(job, worker, now, reason)

    # Time, and the end.

    def tick(self, now: float) -> list[Decision]:
        """Give up what is over its time."""
        decisions: list[Decision] = []
        while self._alarms and self._alarms[0][0] <= now:
            _, id = heapq.heappop(self._alarms)
            if job := self._jobs.get(id):
                decisions += self._overdue(job, now)
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

    def _match(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        while self._idle and (id := self._turns.next()) is not None:
            self._waiting -= 1
            # The one that finished last: its caches, and the machine's, are the warmest.
            worker, _ = self._idle.popitem()
            job = self._jobs[id]
            job.worker = worker
            job.attempt += 1
            self._workers[worker].job = id
            self._set_alarm(job.deadline, id)
            queued, remaining = now - job.arrived_at, max(0.0, job.deadline - now)
            decisions.append(Dispatch(worker, id, queued, remaining, job.attempt))
        return decisions

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
            message = f"no complete answer within the deadline of {arrival.timeout:g} s"
            return [Fail(arrival.peer, arrival.id, 504, "timeout", message)]
        return []

    def _retry_or_fail(self, job: _Job, worker: bytes, now: float, reason: str) -> list[Decision]:
        arrival = job.arrival
        repeatable = arrival.idempotent and not job.started
        if repeatable and self._closing:
            self._end(arrival.id)
            return [GiveBack(arrival.peer, arrival.id)]
        if not repeatable or job.attempt >= MAX_ATTEMPTS:
            self._end(arrival.id)
            message = f"QGIS failed on this request: {reason}"
            return [Fail(arrival.peer, arrival.id, 500, "worker_lost", message)]
        job.worker = None
        job.queue_deadline = job.deadline
        self._turns.put_first(arrival.key, arrival.id)
        self._waiting += 1
        return [Retry(arrival.id, arrival.key, worker), *self._match(now)]

    def _release(self, worker: bytes, now: float) -> list[Decision]:
        del self._workers[worker]
        self._note_workerless(now)
        return [Release(worker)]

    def _enqueue(self, job: _Job) -> None:
        self._turns.append(job.arrival.key, job.arrival.id)
        self._waiting += 1

    def _end(self, id: str) -> None:
        job = self._jobs.pop(id, None)
        if job is not None and job.worker is None:
            self._turns.remove(job.arrival.key, id)
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
