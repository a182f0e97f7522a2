# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that have not ended: those that wait, each in its line, and those that run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from qgsd.proxy.decisions import Arrival
from qgsd.proxy.displacement import displaced
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.turns import Turns


@dataclass(slots=True)
class Job:
    """A request that has not ended. `worker` is None while it waits.

    It runs on this `generation` of its project. `passed_at`: when an idle worker was first left to others
    because one with the project open will be free soon; `only_warm`: one that has to load it will not do.
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


class Backlog:
    """Jobs by their request's id, the lines they wait in, and when to look at them again."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._jobs: dict[str, Job] = {}
        self.turns = Turns()
        # Nested requests come first: a line for each depth, since what they hold up is being served.
        self.nested = Turns()
        self.waiting = 0
        self._alarms: list[tuple[float, str]] = []
        # Projects of which the last request of some generation has ended.
        self._settled: set[str] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, id: str) -> bool:
        return id in self._jobs

    def __getitem__(self, id: str) -> Job:
        return self._jobs[id]

    def get(self, id: str | None) -> Job | None:
        return self._jobs.get(id) if id is not None else None

    def all(self) -> list[Job]:
        return list(self._jobs.values())

    def all_waiting(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.worker is None]

    # A request's way.

    def add(self, job: Job) -> None:
        """It waits in its line."""
        self._jobs[job.arrival.id] = job
        self.stamp(job)
        turns, line = self._line(job.arrival)
        turns.append(line, job.arrival.id)
        self.waiting += 1
        self.set_alarm(job.queue_deadline, job)

    def begin(self, job: Job, worker: bytes) -> None:
        """It has been taken from its line, to run."""
        self.waiting -= 1
        job.worker = worker
        job.attempt += 1
        self.set_alarm(job.deadline, job)

    def put_back(self, job: Job) -> None:
        """It waits again, before all others of its line."""
        job.worker = None
        job.queue_deadline = job.deadline
        turns, line = self._line(job.arrival)
        turns.put_first(line, job.arrival.id)
        self.waiting += 1

    def end(self, id: str) -> None:
        """It is over, wherever it is."""
        job = self._jobs.pop(id, None)
        if job is None:
            return
        if project := self._projects.get(job.arrival.key):
            self._unstamp(job, project)
        if job.worker is None:
            turns, line = self._line(job.arrival)
            turns.remove(line, id)
            self.waiting -= 1

    def _line(self, arrival: Arrival) -> tuple[Turns, str]:
        """Where a request waits: with its key, or with those of its depth."""
        return (self.nested, str(arrival.depth)) if arrival.depth else (self.turns, arrival.key)

    def displaced_by(self, arrival: Arrival) -> Job | None:
        """Who would have to leave a full queue for this one; none that has been begun once."""
        own = 0 if arrival.depth else len(self.turns.waiting(arrival.key))
        job = self.get(displaced(self.turns.lines, own))
        return job if job is not None and not job.attempt else None

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
            self._settled.add(project.key)

    def settled(self) -> Iterator[Project]:
        """Projects of which the last request of some generation has ended since this was last asked."""
        while self._settled:
            if project := self._projects.get(self._settled.pop()):
                yield project

    # Time.

    def set_alarm(self, when: float, job: Job) -> None:
        heapq.heappush(self._alarms, (when, job.arrival.id))

    def next_alarm(self) -> float | None:
        while self._alarms and self._alarms[0][1] not in self._jobs:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def due(self, now: float) -> Iterator[Job]:
        """Jobs to look at, since their alarm has come."""
        while self._alarms and self._alarms[0][0] <= now:
            _, id = heapq.heappop(self._alarms)
            if job := self._jobs.get(id):
                yield job
