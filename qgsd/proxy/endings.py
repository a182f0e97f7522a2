# SPDX-License-Identifier: GPL-2.0-or-later
"""How requests end without an answer of QGIS: out of time, in a loop, without a worker, handed back."""

from __future__ import annotations

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.breaker import Breakers
from qgsd.proxy.decisions import Arrival, Decision, Fail, GiveBack, Tripped
from qgsd.proxy.flights import Job, Rider
from qgsd.proxy.pauses import Pauses
from qgsd.proxy.projects import Projects
from qgsd.proxy.roster import Roster

# A worker that gives up at its deadline may be so many seconds early by our clock.
_EARLY = 0.25


class Endings:
    """Each ends the requests in the backlog and returns what their clients are told."""

    def __init__(
        self, backlog: Backlog, roster: Roster, projects: Projects, breakers: Breakers, pauses: Pauses
    ) -> None:
        self._backlog = backlog
        self._roster = roster
        self._projects = projects
        self._breakers = breakers
        self._pauses = pauses

    # All of a job.

    def give_back(self, job: Job) -> list[Decision]:
        return [GiveBack(rider.arrival.peer, rider.arrival.id) for rider in self._backlog.end_all(job)]

    def fail(
        self, job: Job, status: int, code: str, message: str, retry_after: float = 0.0
    ) -> list[Decision]:
        """All that wait for the job are told, and it is over."""
        gone = [rider.arrival for rider in self._backlog.end_all(job)]
        return [Fail(one.peer, one.id, status, code, message, retry_after, one.key) for one in gone]

    def no_worker(self, job: Job) -> list[Decision]:
        return [no_worker(rider.arrival) for rider in self._backlog.end_all(job)]

    def ran_out(self, job: Job, now: float) -> list[Decision]:
        """Its worker gave it up at its deadline: those whose own has come are told, the others wait again."""
        decisions: list[Decision] = []
        for rider in list(job.riders.values()):
            if rider.deadline <= now + _EARLY:
                decisions += self._timed_out(job, rider, now)
        if job.riders:
            self._backlog.put_back(job)
        return decisions

    def looped(self, arrival: Arrival, most: int) -> list[Decision]:
        """It asks for itself: it and all that wait for it are answered 508 (RFC 5842), their workers run on.

        All at once, or one of them would end first with an error of QGIS that tells nothing.
        """
        message = f"projects ask this server for maps of itself more than {most} levels deep: a loop"
        decisions: list[Decision] = [Fail(arrival.peer, arrival.id, 508, "loop_detected", message)]
        parent = arrival.parent
        while job := self._backlog.get(parent):
            decisions += self.fail(job, 508, "loop_detected", message)
            parent = job.arrival.parent
        return decisions

    # One of its requests.

    def overdue(self, job: Job, rider: Rider, now: float) -> list[Decision]:
        if (job.worker is None or job.ahead) and now >= rider.queue_deadline:
            return [self._waited_in_vain(rider.arrival, now - rider.arrived_at)]
        if now >= rider.deadline:
            return self._timed_out(job, rider, now)
        if job.is_left_behind(rider, now):
            message = "the client read too slowly for those that share the answer"
            arrival = rider.arrival
            late = Fail(arrival.peer, arrival.id, 503, "too_slow", message, key=arrival.key)
            return [late, *self._pauses.left(job, arrival.id)]
        return []

    def _timed_out(self, job: Job, rider: Rider, now: float) -> list[Decision]:
        message = f"no complete answer within the deadline of {rider.arrival.timeout:.3g} s"
        return [self._give_up(rider.arrival, 504, "timeout", message), *self._trip(job, now)]

    def _waited_in_vain(self, arrival: Arrival, seconds: float) -> Fail:
        if not len(self._roster):
            self._backlog.end(arrival.id)
            return no_worker(arrival)
        project = self._projects.get(arrival.key)
        if project is not None and project.held:
            message = f"'{arrival.key}' is being replaced; try again shortly"
            return self._give_up(arrival, 503, "project_on_hold", message, 10.0)
        return self._give_up(arrival, 504, "queue_timeout", f"no worker was free within {seconds:.1f} s")

    def _give_up(
        self, arrival: Arrival, status: int, code: str, message: str, retry_after: float = 0.0
    ) -> Fail:
        self._backlog.end(arrival.id)
        return Fail(arrival.peer, arrival.id, status, code, message, retry_after, arrival.key)

    def _trip(self, job: Job, now: float) -> list[Decision]:
        """It timed out while it ran; what waits behind it may have to give up too."""
        if job.timed_out:
            return []
        key = job.arrival.key
        for one in job.beside or (job,):
            one.timed_out = True
        pause = self._breakers.timed_out(key, now)
        if not pause:
            return []
        message = f"'{key}' timed out again and again, its requests are refused for {pause:g} s"
        decisions: list[Decision] = [Tripped(key, pause, message)]
        for waiting in self._backlog.in_line(key):
            decisions += self.fail(waiting, 503, "project_unavailable", message, pause)
        return decisions


def no_worker(arrival: Arrival) -> Fail:
    message = "no worker is there to run this request; try again shortly"
    return Fail(arrival.peer, arrival.id, 503, "no_worker", message)
