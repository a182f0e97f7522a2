# SPDX-License-Identifier: GPL-2.0-or-later
"""The queue as people and metrics see it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from qgsd.messages import QueueLine
from qgsd.proxy.flights import Job


def lines(jobs: Iterable[Job], now: float) -> list[QueueLine]:
    """A line a project, the one with the most waiting first."""
    by_project: dict[str, list[Job]] = {}
    for job in jobs:
        by_project.setdefault(job.arrival.key, []).append(job)
    told = [_line(project, there, now) for project, there in by_project.items()]
    return sorted(told, key=lambda line: (-line.waiting, -line.running, line.project))


def _line(project: str, jobs: list[Job], now: float) -> QueueLine:
    since = oldest(jobs)
    return QueueLine(
        project=project,
        waiting=sum(map(_waiting, jobs)),
        running=sum(job.worker is not None for job in jobs),
        oldest=now - since if since else 0.0,
        nested=sum(job.arrival.depth > 0 for job in jobs),
    )


def _waiting(job: Job) -> int:
    """The requests that wait for a worker, or for what one does for another request."""
    if job.worker is None:
        return len(job.riders)
    return 0 if job.started else len(job.riders) - 1


def oldest(jobs: Iterable[Job]) -> float:
    """When the request arrived that has waited for a worker for longest; 0 where none waits."""
    return min((job.first.arrived_at for job in jobs if job.worker is None and job.riders), default=0.0)


class WorkerClock:
    """Adds up the seconds that workers are there, and at work."""

    def __init__(self, now: float) -> None:
        self.total = 0.0
        self.busy = 0.0
        self._at = now
        self._workers = self._at_work = 0

    def now_at_work(self, at_work: int, workers: int, now: float) -> None:
        """From now on so many of so many; before it was as told the last time."""
        elapsed = now - self._at
        self.total += elapsed * self._workers
        self.busy += elapsed * self._at_work
        self._at, self._workers, self._at_work = now, workers, at_work
