# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's part in keeping projects: what workers and the master say, to and from the scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable

from qgsd import messages
from qgsd.channel import ChildEnd
from qgsd.proxy.decisions import Decision, Loaded
from qgsd.proxy.projects import Project
from qgsd.proxy.scheduler import Scheduler
from qgsd.scoreboard import Row

# A packet of the channel holds so many well.
_PAGE = 1000


class ProjectDesk:
    """Translates; `carry_out` is given what the scheduler decides."""

    def __init__(
        self,
        scheduler: Scheduler,
        channel: ChildEnd,
        carry_out: Callable[[list[Decision]], None],
        to_worker: Callable[[bytes, messages.ToWorker], None],
    ) -> None:
        self._scheduler = scheduler
        self._channel = channel
        self._carry_out = carry_out
        self._to_worker = to_worker
        self.pins = messages.Pins([])

    # Workers.

    def heard(
        self,
        worker: bytes,
        message: messages.ProjectLoaded | messages.ProjectClosed | messages.ProjectChanged,
    ) -> None:
        now = time.monotonic()
        match message:
            case messages.ProjectLoaded():
                self._carry_out(self._scheduler.loaded(worker, as_loaded(message), now))
            case messages.ProjectClosed(project, keep):
                self._carry_out(self._scheduler.closed(worker, project, keep))
            case messages.ProjectChanged(project, version):
                self._carry_out(self._scheduler.changed(project, version, now))

    # The master.

    def order(self, order: messages.OrderProjects) -> None:
        keys, decisions = self._scheduler.order(order.ticket, order.verb, order.project, time.monotonic())
        self._channel.send(messages.ProjectsOrdered(order.ticket, keys))
        self._carry_out(decisions)

    def keep(self, order: messages.KeepProjects) -> None:
        self.pins = messages.Pins(order.pinned)
        for worker in self._scheduler.worker_names():
            self._to_worker(worker, self.pins)
        self._carry_out(self._scheduler.wanted(order.pinned, order.held, time.monotonic()))

    def count(self, row: Row) -> None:
        """Write the totals into the scoreboard."""
        totals = self._scheduler.keeper.projects.totals
        row.project_hits, row.project_loads = totals.hits, totals.loads
        row.project_load_ms, row.project_evictions = int(1000 * totals.load_seconds), totals.evictions

    def tell(self, ticket: int) -> None:
        states = [_state(project) for project in self._scheduler.keeper.projects.all()]
        for start in range(0, len(states) + 1, _PAGE):
            page = states[start : start + _PAGE]
            more = start + _PAGE <= len(states)
            self._channel.send(messages.ProjectsListed(ticket, page, more))


def as_loaded(told: messages.ProjectLoaded) -> Loaded:
    return Loaded(
        told.project, told.generation, told.outcome, told.version, told.seconds, told.memory, told.error
    )


def _state(project: Project) -> messages.ProjectState:
    loading = bool(project.loads_now) and not project.copies
    return messages.ProjectState(
        project=project.key,
        generation=project.generation,
        version=project.version,
        workers=[label_of(worker) for worker in project.copies],
        status="loading" if loading else project.status,
        error=project.error,
        load_seconds=project.load_seconds,
        memory=project.memory,
        requests=project.requests,
        hits=project.hits,
        loads=project.loads,
        evictions=project.evictions,
        pinned=project.pinned,
        held=project.held,
        last_load_seconds=project.last_load_seconds,
        total_load_seconds=project.total_load_seconds,
    )


def label_of(worker: bytes) -> str:
    """A worker's slot, with its machine's name before it if it has one."""
    _, machine, slot, _, _ = worker.decode(errors="replace").rsplit(":", 4)
    return f"{machine}/{slot}" if machine else slot
