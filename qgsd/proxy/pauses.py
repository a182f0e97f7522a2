# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers that pause in mid-answer because a client cannot take more."""

from __future__ import annotations

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.decisions import Continue, Decision, Pause
from qgsd.proxy.flights import Job


class Pauses:
    """A worker pauses while any client that shares its answer is held; none may hold the others for long."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def held(self, id: str, now: float) -> list[Decision]:
        """The client of a request has no room for more of the answer: its worker pauses.

        Others that share the answer wait for it for a while; then it is the one to go.
        """
        job = self._backlog.job_of(id)
        if job is None or job.worker is None:
            return []
        job.hold(job.riders[id], now)
        self._backlog.set_alarm(job.riders[id].impatient_at, id)
        return [Pause(job.worker, job.id)]

    def resumed(self, id: str, now: float) -> list[Decision]:
        """There is room again."""
        job = self._backlog.job_of(id)
        if job is None or job.worker is None:
            return []
        job.resume(job.riders[id], now)
        for other, rider in job.riders.items():
            if rider.held_at is not None:
                self._backlog.set_alarm(max(now, rider.impatient_at), other)
        return [] if job.is_held else [Continue(job.worker, job.id)]

    def left(self, job: Job, id: str) -> list[Decision]:
        """The request ends; the worker may have paused for this very client."""
        was_held = job.is_held
        self._backlog.end(id)
        return [Continue(job.worker, job.id)] if job.worker and was_held and not job.is_held else []
