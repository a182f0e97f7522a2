# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that have not ended: those that wait, each in its line, and those that run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

from qgsd.proxy.decisions import Arrival
from qgsd.proxy.displacement import displaced
from qgsd.proxy.flights import Job, Rider
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.rows import Rows
from qgsd.proxy.shares import Shares
from qgsd.proxy.turns import Depths, Line, Turns
from qgsd.proxy.waits import Waits


class Backlog:
    """Jobs and their riders, the lines the jobs wait in, and when to look at them again.

    A job has the id of the request that is sent to the worker; that one may have ended before the job.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._jobs: dict[str, Job] = {}
        # By the ids of the requests.
        self._riders: dict[str, Job] = {}
        # The job that a request of this identity may join.
        self._flights: dict[str, Job] = {}
        self.shares = Shares()
        self.turns = Turns(self.shares)
        # Nested requests come first, since what they hold up is being served.
        self.nested = Depths()
        # Those that may be rendered together with what waits beside them.
        self.rows = Rows()
        self._waits = Waits()
        self._alarms: list[tuple[float, str]] = []
        # Jobs that ended though a worker is to run them next.
        self._dropped: list[str] = []
        # Projects of which the last request of some generation has ended.
        self._settled: set[str] = set()

    def __len__(self) -> int:
        return len(self._riders)

    def __contains__(self, id: str) -> bool:
        """The request has not ended."""
        return id in self._riders

    def __getitem__(self, id: str) -> Job:
        return self._jobs[id]

    def get(self, id: str | None) -> Job | None:
        return self._jobs.get(id) if id is not None else None

    def job_of(self, id: str) -> Job | None:
        """What is done for a request, None when it has ended."""
        return self._riders.get(id)

    def requests_of(self, peer: bytes) -> list[str]:
        return [id for id, job in self._riders.items() if job.riders[id].arrival.peer == peer]

    def jobs(self) -> list[Job]:
        return list(self._jobs.values())

    def all_waiting(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.worker is None]

    def in_line(self, key: str) -> list[Job]:
        """What waits for a worker in the line of a key."""
        return [self._jobs[id] for id in self.turns.waiting(key)]

    @property
    def waiting(self) -> int:
        """Requests that no worker runs. Those that ride on what runs for another wait as well."""
        return self._waits.total

    # A request's way.

    def add(self, rider: Rider) -> None:
        """It waits in its line."""
        arrival = rider.arrival
        job = self._jobs[arrival.id] = Job(arrival)
        if arrival.flight:
            self._flights[arrival.flight] = job
        self.stamp(job)
        if arrival.depth:
            self.nested.append(arrival.depth, arrival.id)
        else:
            self.turns.append(line_of(arrival), arrival.id)
            if arrival.tile is not None:
                self.rows.add(arrival.tile, job)
        self._board(job, rider)

    def flight_for(self, arrival: Arrival, now: float) -> Job | None:
        """What is done for another request just now and will do for this one as well.

        Never for nested requests: they would wait for what may wait for them.
        """
        job = self._flights.get(arrival.flight) if arrival.flight and not arrival.depth else None
        if job is None or job.arrival.key != arrival.key or not job.takes(arrival.timeout, now):
            return None
        return job if job.generation == self._projects.known(arrival.key).generation else None

    def join(self, job: Job, rider: Rider) -> None:
        """It waits for the answer that is made for others."""
        if job.begun and not job.ahead:
            rider.queue_deadline = rider.deadline
        self._board(job, rider)

    def _board(self, job: Job, rider: Rider) -> None:
        id = rider.arrival.id
        job.riders[id] = rider
        self._riders[id] = job
        self._waits.add(_key(rider.arrival), id)
        rider.alarm = rider.queue_deadline
        self.set_alarm(rider.alarm, id)

    def begin(self, job: Job, worker: bytes, now: float, *, ahead: bool = False) -> None:
        """It has been taken from its line, to run now, or `ahead`: when its worker has ended another one."""
        job.worker, job.began_at, job.begun = worker, now, True
        job.attempt += 1
        job.ahead = ahead
        if job.arrival.tile is not None:
            self.rows.remove(job.arrival.tile, job)
        self._waits.remove(_key(job.arrival), job.first.arrival.id)
        if not ahead:
            self.run(job)

    def run(self, job: Job) -> None:
        """It has left the queue for good."""
        job.ahead = False
        for rider in job.riders.values():
            # Its alarm is set anew when it comes: most have ended by then.
            rider.queue_deadline = rider.deadline

    def recall(self, job: Job) -> None:
        """It is not its worker's next any more, and waits again, as if it had not been taken."""
        job.ahead, job.recalled = False, True
        job.attempt -= 1
        job.begun = job.attempt > 0
        self.put_back(job)

    def start(self, job: Job) -> None:
        """Its answer has begun: nobody waits for that any more, and nobody can join."""
        if not job.started:
            job.started = True
            for rider in job.riders.values():
                self._waits.remove(_key(rider.arrival), rider.arrival.id)

    def put_back(self, job: Job) -> None:
        """It waits again, before all others of its line."""
        job.worker = None
        if job.arrival.depth:
            self.nested.put_first(job.arrival.depth, job.id)
        else:
            self.turns.put_first(line_of(job.arrival), job.id)
        self._waits.add(_key(job.arrival), job.first.arrival.id)

    def end(self, id: str) -> None:
        """The request is over, wherever it is; the job too when it was the last."""
        job = self._riders.pop(id, None)
        if job is None:
            return
        rider = job.riders.pop(id)
        self._waits.remove(_key(rider.arrival), id)
        if not job.riders:
            self._end_job(job)
        elif job.worker is not None:
            # The next one is who it runs for.
            self._waits.remove(_key(job.arrival), job.first.arrival.id)

    def end_all(self, job: Job) -> list[Rider]:
        """All requests of a job are over; which they were."""
        riders = list(job.riders.values())
        for rider in riders:
            self.end(rider.arrival.id)
        return riders

    def _end_job(self, job: Job) -> None:
        del self._jobs[job.id]
        if job.ahead:
            self._dropped.append(job.id)
        if job.arrival.tile is not None:
            self.rows.remove(job.arrival.tile, job)
        if self._flights.get(job.arrival.flight) is job:
            del self._flights[job.arrival.flight]
        if project := self._projects.get(job.arrival.key):
            self._unstamp(job, project)
        if job.worker is None and job.arrival.depth:
            self.nested.remove(job.arrival.depth, job.id)
        elif job.worker is None:
            self.turns.remove(line_of(job.arrival), job.id)

    @property
    def some_dropped(self) -> bool:
        return bool(self._dropped)

    def dropped(self) -> Iterator[str]:
        """Jobs nobody waits for any more, though a worker is to run them next, since this was last asked."""
        while self._dropped:
            yield self._dropped.pop()

    def displaced_by(self, arrival: Arrival) -> Rider | None:
        """Who would have to leave a full queue for this one; nobody for whom work has been begun."""
        own = 0 if arrival.depth else self._waits.length(_key(arrival))
        id = displaced(self._waits, own, self._may_go)
        return self._riders[id].riders[id] if id is not None else None

    def _may_go(self, id: str) -> bool:
        job = self._riders[id]
        return not job.begun or job.first.arrival.id != id

    # Generations.

    def stamp(self, job: Job) -> None:
        """It runs on the generation of now."""
        project = self._projects.known(job.arrival.key)
        self._unstamp(job, project)
        job.generation = project.generation
        project.stamped[job.generation] += 1

    def _unstamp(self, job: Job, project: Project) -> None:
        if not job.generation:
            return
        project.stamped[job.generation] -= 1
        if not project.stamped[job.generation]:
            del project.stamped[job.generation]
            # Of the one that is served nothing is released, and what has been loaded is remembered.
            if job.generation != project.generation or not project.loads:
                self._settled.add(project.key)

    @property
    def some_settled(self) -> bool:
        return bool(self._settled)

    def settled(self) -> Iterator[Project]:
        """Projects of which the last request of some generation has ended since this was last asked."""
        while self._settled:
            if project := self._projects.get(self._settled.pop()):
                yield project

    # Time.

    def set_alarm(self, when: float, id: str) -> None:
        """Look at the request, or the job, of this id again then."""
        heapq.heappush(self._alarms, (when, id))

    def next_alarm(self) -> float:
        alarms = self._alarms
        while alarms and alarms[0][1] not in self._riders and alarms[0][1] not in self._jobs:
            heapq.heappop(alarms)
        return alarms[0][0] if alarms else inf

    def due(self, now: float) -> Iterator[tuple[Job, Rider]]:
        """Requests to look at, since their alarm has come."""
        while self._alarms and self._alarms[0][0] <= now:
            when, id = heapq.heappop(self._alarms)
            if job := self._jobs.get(id):
                # Perhaps it has waited long enough for a warm worker.
                self.turns.wake(job.arrival.key)
            if job := self._riders.get(id):
                rider = job.riders[id]
                if when == rider.alarm and when < rider.queue_deadline:
                    rider.alarm = rider.queue_deadline
                    self.set_alarm(rider.alarm, id)
                yield job, rider


def line_of(arrival: Arrival) -> Line:
    """The line in which it waits, unless it is a nested one."""
    return Line(arrival.tenant or arrival.key, arrival.key)


def _key(arrival: Arrival) -> str | None:
    """The line that a request counts for in a full queue; nested ones for none."""
    return None if arrival.depth else arrival.tenant or arrival.key
