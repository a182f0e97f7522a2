# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a request runs: on a worker that has its project open, if that is not the slower way.

Pure. A project stays where it is warm, and no request waits for a warm worker longer than a cold
load would have taken. When the requests of a project have waited, together, for as long as a further
copy costs while a worker was idle, it is loaded there too, beside the requests: the rule of who
rents skis until the rent has come to their price, which costs at most twice of what foresight would.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from qgsd.proxy.decisions import Close, Decision, Note
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.roster import Roster, Worker

# A decision looks at so many workers at most: with thousands of them the best of some is good enough.
_LOOK_AT = 64
# A further copy costs its load and, on a worker without room, the load of what is closed for it.
_COPY_COST = 2.0
# In a worker without room it costs its load, the load of what is closed for it, and the time of both that
# others do not get. By simulation: with less, workers close each other's projects; with more, some wait long.
_FULL_COST = 3.0
# A load that takes so many times what it took before is not waited for.
_LATE = 2.0
# Seconds for which a copy that was used is not closed.
_FRESH = 1.0


def warm(project: Project, generation: int, roster: Roster) -> bytes | None:
    """An idle worker that has the project open at this generation."""
    copies = project.copies
    if roster.idle_count < len(copies):
        # Under load: one has just ended its work, and there may be hundreds that have the project open.
        for worker in islice(roster.idle(), _LOOK_AT):
            if generation in copies.get(worker, ()):
                return worker
        return None
    for worker in islice(reversed(copies), _LOOK_AT):
        if roster.is_idle(worker) and generation in copies[worker]:
            return worker
    return None


def coldest(candidates: Iterator[bytes], projects: Projects, roster: Roster, size: int) -> bytes | None:
    """Of idle workers the one where a further project does least harm; `size` is what each keeps open."""

    def harm(worker: bytes) -> tuple[bool, int, float]:
        count = min(projects.open_count(worker), size)
        # Workers with room are alike but for how much of it; full ones for how old is what they would close.
        return roster[worker].reserve, count, projects.oldest_use(worker) if count >= size else 0.0

    return min(islice(candidates, _LOOK_AT), key=harm, default=None)


def all_full(candidates: Iterator[bytes], projects: Projects, size: int) -> bool:
    """None of these workers has room for a further project."""
    return all(projects.open_count(worker) >= size for worker in islice(candidates, _LOOK_AT))


def cold_cost(project: Project, *, full: bool) -> float:
    """Seconds that it costs to open the project in an idle worker, all of which are `full` or not."""
    return project.cold_seconds * (_FULL_COST if full else 1.0)


def worth_waiting(
    project: Project, generation: int, roster: Roster, waited: float, now: float, *, full: bool
) -> bool:
    """A warm worker will be free sooner than a cold one would have loaded the project.

    `waited`: seconds that the first request in line has waited so far. Where another project would be closed
    for it, the next request for that one has to wait as well: that counts as this one's.
    """
    if project.loads_now and project.copies and now - project.load_began < _LATE * project.cold_seconds:
        # Another worker is loading it, and will have done so before one that begins now.
        return True
    patience = cold_cost(project, full=full) - waited
    for worker in islice(reversed(project.copies), _LOOK_AT):
        if generation in project.copies[worker] and _busy_for(roster[worker], now) < patience:
            return True
    return False


def _busy_for(worker: Worker, now: float) -> float:
    """Seconds until it is idle; one that is late may be late as long again."""
    return abs(worker.done_at - now) if worker.at_work else 0.0


def worth_spreading(project: Project, backlog: int, now: float, *, full: bool) -> bool:
    """`backlog` requests wait although a worker is idle: a further copy of the project pays.

    Where the idle workers are `full`, another project would be closed for it: only for real demand then.
    """
    holders = len(project.copies)
    if not holders or not project.load_seconds or project.kept_old or project.changing:
        return False
    if now < project.no_copies_until:
        return False
    if full and holders >= project.copies_needed(now):
        return False
    forecast = backlog * project.service_seconds / holders
    return project.waited.at(now) + forecast >= _COPY_COST * project.cold_seconds


def room(worker: bytes, projects: Projects, size: int, now: float) -> list[Decision]:
    """What a worker without room is to close for a further project: one that others have open too.

    Left to itself it would close the one that it has not used for longest, perhaps the only copy.
    """
    if projects.open_count(worker) < size:
        return []
    for project, used_at in islice(projects.open_in(worker), _LOOK_AT):
        needed = len(project.copies) <= project.copies_needed(now)
        spared = project.pinned or project.changing or now - used_at <= _FRESH
        if not needed and not spared:
            projects.evicted(project)
            projects.closed(worker, project.key, 0)
            return [Close(worker, project.key, 0), evicted(project, worker)]
    return []


def evicted(project: Project, worker: bytes) -> Note:
    """For the record: a worker closes the project for another one."""
    message = f"{project.key} makes room for another project"
    return Note("project.evicted", project.key, message, worker, often=True)
