# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps projects as people want them: open where they are needed, up to date, pinned, held.

It hears what workers have loaded and closed and what changed, takes orders, and decides which
idle worker loads what. Pure, as the scheduler that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from qgsd.proxy import placement
from qgsd.proxy.decisions import Close, Decision, Done, Limits, Load, Loaded, Note
from qgsd.proxy.errands import Errands
from qgsd.proxy.projects import Project, Projects
from qgsd.proxy.reload import Reloads
from qgsd.proxy.roster import Roster, machine_of

# Seconds until a further copy of a project is tried again after one could not be loaded.
_PAUSE = 30.0
# Seconds for which a project that was used in a worker counts as busy there.
_BUSY = 10.0

Verb = Literal["reload", "load", "evict", "hold", "release", "purge"]


@dataclass(slots=True)
class _Closing:
    """Somebody waits until these workers have closed a project; for a hold, also until nobody loads it."""

    ticket: int
    workers: set[bytes]
    hold: bool


class Keeper:
    """See the module's text. `limits` may be set anew at any time."""

    def __init__(self, projects: Projects, roster: Roster, limits: Limits) -> None:
        self.limits = limits
        self.projects = projects
        self._roster = roster
        self.errands = Errands(projects, roster)
        self.reloads = Reloads(projects, roster, self.errands)
        # Who waits until a project is loaded, and until it is closed.
        self._loading: dict[str, list[int]] = {}
        self._closing: dict[str, list[_Closing]] = {}

    # What workers tell.

    def joined(self, worker: bytes, has_open: Sequence[Loaded], now: float) -> list[Decision]:
        """A worker is there and has these projects open, from the time of another dispatcher."""
        self.projects.joined(worker)
        decisions: list[Decision] = []
        for copy in has_open:
            project = self.projects.known(copy.key)
            if not project.copies and copy.generation >= project.generation:
                project.generation, project.version = copy.generation, copy.version
                self.projects.touch(copy.key)
                project.load_seconds, project.memory = copy.seconds, copy.memory
            if (copy.generation, copy.version) == (project.generation, project.version) and not project.held:
                self.projects.opened(worker, project, copy.generation, now)
            else:
                decisions.append(Close(worker, copy.key, 0))
        return decisions

    def loaded(self, worker: bytes, loaded: Loaded, now: float) -> list[Decision]:
        """It has loaded a project, for a request or on an errand, or it could not."""
        project = self.projects.known(loaded.key)
        on_errand = self._roster[worker].errand == loaded.key
        if on_errand:
            self._roster.end_work(worker)
            project.loads_now -= 1
        if self._roster[worker].leaving:
            return self._told(loaded) + self._closed_by(worker, project)
        if loaded.outcome == "loaded":
            self.projects.opened(worker, project, loaded.generation, now)
            self.projects.measured_load(project, loaded.seconds, loaded.memory)
        prepared = self.reloads.prepared(worker, loaded, now)
        decisions = prepared if prepared is not None else self._file(worker, project, loaded, now)
        if loaded.outcome == "loaded":
            decisions.insert(0, _opened(project, worker, loaded))
        if loaded.outcome == "loaded":
            self._loading.setdefault(project.key, []).extend(self.errands.tickets_of(project.key))
            return decisions + self._told(loaded)
        return decisions + (self._told(loaded) if on_errand else [])

    def _file(self, worker: bytes, project: Project, loaded: Loaded, now: float) -> list[Decision]:
        if project.held:
            return self._close_again(worker, project, loaded)
        project.waited.clear()
        if loaded.outcome != "loaded":
            project.no_copies_until = now + _PAUSE
        if loaded.outcome == "loaded":
            return self._took(worker, project, loaded, now)
        if loaded.outcome == "other":
            return self.found_other(worker, project.key, loaded.version, now)
        if loaded.outcome == "failed" and not project.copies:
            told = project.broken_version == loaded.version and project.status == "broken"
            project.status, project.error, project.broken_version = "broken", loaded.error, loaded.version
            message = f"{project.key} does not load: {loaded.error}"
            return [] if told else [Note("project.broken", project.key, message)]
        if loaded.outcome == "gone":
            self.projects.forget(loaded.key)
        return []

    def _close_again(self, worker: bytes, project: Project, loaded: Loaded) -> list[Decision]:
        """It was being loaded when it was put on hold."""
        if loaded.outcome != "loaded":
            return self._closed_by(worker, project)
        for closing in self._closing.get(project.key, []):
            closing.workers.add(worker)
        return [Close(worker, project.key, 0)]

    def _took(self, worker: bytes, project: Project, loaded: Loaded, now: float) -> list[Decision]:
        if loaded.generation != project.generation:
            # Of a transaction that was given up.
            self.projects.closed(worker, project.key, loaded.generation)
            return [Close(worker, project.key, project.generation)]
        if not project.version:
            project.version, project.status, project.error = loaded.version, "ok", ""
        elif loaded.version != project.version:
            # Two workers loaded it for the first time while it changed: the first has said what is served.
            self.projects.closed(worker, project.key, 0)
            return [Close(worker, project.key, 0), *self.reloads.begin(project, now)]
        return []

    def _told(self, loaded: Loaded) -> list[Decision]:
        tickets = self._loading.pop(loaded.key, [])
        status = "loaded" if loaded.outcome in ("loaded", "unchanged") else loaded.outcome
        return [Done(ticket, loaded.key, status, loaded.error) for ticket in tickets]

    def closed(self, worker: bytes, key: str, keep: int) -> list[Decision]:
        """It has closed a project (0), to make room or because it was told to, or but for one generation."""
        project = self.projects.get(key)
        if project is None or keep:
            return []
        decisions: list[Decision] = []
        if worker in project.copies:
            self.projects.evicted(project)
            if key not in self._closing:
                decisions.append(placement.evicted(project, worker))
        self.projects.closed(worker, key, 0)
        return decisions + self._closed_by(worker, project)

    def _closed_by(self, worker: bytes | None, project: Project) -> list[Decision]:
        """The worker has it no more; who waited for the last one hears so."""
        waiting, done = self._closing.pop(project.key, []), []
        for closing in waiting:
            closing.workers.discard(worker or b"")
            if not closing.workers and not (closing.hold and project.loads_now):
                done.append(closing)
        if left := [closing for closing in waiting if closing not in done]:
            self._closing[project.key] = left
        return [Done(closing.ticket, project.key, "closed", "") for closing in done]

    def changed(self, key: str, version: str, now: float) -> list[Decision]:
        """A worker has seen that the project has another content now; empty when it is gone."""
        project = self.projects.get(key)
        if project is None or project.held:
            return []
        if key in self.reloads:
            self.reloads.noticed(key, version)
            return []
        known_broken = bool(project.error and version) and version == project.broken_version
        unchanged = version == project.version and not project.kept_old
        return [] if known_broken or unchanged else self.reloads.begin(project, now, noticed=True)

    def found_other(self, worker: bytes, key: str, version: str, now: float) -> list[Decision]:
        """A worker was to load the version in service and found another one: newer, or a copy that is behind.

        Machines have copies of their own. Those who serve the project watch theirs; what another machine has
        is no reason to change, or the old version would come back where it lies longest. Names of machines
        need not be different ones; so only workers of the queue's own instance are sure to see the same.
        """
        project = self.projects.known(key)
        holders = project.holders(project.generation)
        if holders and any(map(machine_of, (worker, *holders))):
            return []
        return self.changed(key, version, now)

    def worker_gone(self, worker: bytes, now: float, reason: str = "") -> list[Decision]:
        """It has died or leaves; what it had open shall be open elsewhere before it is asked for.

        `reason`: what it did itself to die, empty when it was ended by somebody or left.
        """
        keys = self.projects.gone(worker)
        decisions = self.reloads.worker_gone(worker, now, reason)
        for key, used_at in reversed(keys):
            project = self.projects.known(key)
            if self._roster.usual > 1 or project.pinned:
                # What was busy on it was so for a reason: others may be lost too before long.
                copies = len(project.copies) + 1 if now - used_at < _BUSY else 1
                self.errands.want(key, copies, until=inf if copies == 1 else now + _PAUSE)
        for key in list(self._closing):
            decisions += self._closed_by(worker, self.projects.known(key))
        return decisions

    def errand_lost(self, key: str, reason: str) -> list[Decision]:
        """The worker that loaded the project has gone before it was done."""
        project = self.projects.known(key)
        project.loads_now -= 1
        tickets = self._loading.pop(key, [])
        failed: list[Decision] = [
            Done(ticket, key, "failed", f"its worker has gone: {reason}") for ticket in tickets
        ]
        return failed + self._closed_by(None, project)

    # What idle workers do.

    def start_errands(self, now: float) -> list[Decision]:
        """Use idle workers that no request wants."""
        decisions: list[Decision] = []
        for project in self.errands.due():
            worker = placement.coldest(
                self.errands.candidates(project), self.projects, self._roster, self.limits.cache_size
            )
            if worker is None:
                continue
            self._loading.setdefault(project.key, []).extend(self.errands.begun(project.key))
            self._roster.begin_errand(worker, project.key, now, project.load_seconds)
            self.projects.loading(project, now)
            decisions += placement.room(worker, self.projects, self.limits.cache_size, now)
            decisions.append(Load(worker, project.key, project.generation, version=project.version))
        self.errands.expire(now)
        return decisions

    # What people order. All return the projects concerned and what to do; `Done` follows for each.

    def order(self, ticket: int, verb: Verb, name: str, now: float) -> tuple[list[str], list[Decision]]:
        """`name` is a project, or for reload empty for all that are open."""
        match verb:
            case "reload":
                return self._reload(ticket, name, now)
            case "load":
                return self._load(ticket, name)
            case "evict" | "hold":
                return self._close(ticket, name, hold=verb == "hold")
            case "release":
                return self._release(ticket, name)
            case "purge":
                return self._purge(ticket, name)

    def _reload(self, ticket: int, name: str, now: float) -> tuple[list[str], list[Decision]]:
        projects = self.projects.named(name) if name else self.projects.all()
        projects = [project for project in projects if project.copies or project.error]
        if name and not projects:
            return [name], [Done(ticket, name, "unchanged", "")]
        decisions: list[Decision] = []
        for project in projects:
            decisions += self.reloads.begin(project, now, ticket)
        return [project.key for project in projects], decisions

    def _load(self, ticket: int, name: str) -> tuple[list[str], list[Decision]]:
        known = next(iter(self.projects.named(name)), None)
        key = known.key if known else name
        if known is not None and known.held:
            return [key], [Done(ticket, key, "failed", "it is on hold; release it first")]
        if known is not None and known.holders(known.generation):
            return [key], [Done(ticket, key, "loaded", "")]
        self.errands.want(key, ticket=ticket)
        return [key], []

    def _close(self, ticket: int, name: str, *, hold: bool) -> tuple[list[str], list[Decision]]:
        projects = self.projects.named(name)
        if hold and not projects:
            projects = [self.projects.known(name)]
        decisions: list[Decision] = []
        for project in projects:
            if hold:
                project.held = True
            decisions += self.reloads.cancel(project)
            tickets = self.errands.drop(project.key)
            decisions += [Done(waiting, project.key, "failed", "it was closed") for waiting in tickets]
            project.generation, project.version = project.generation + 1, ""
            self.projects.touch(project.key)
            project.kept_old, project.error, project.status = False, "", "ok"
            waiting = _Closing(ticket, set(project.copies), hold)
            self._closing.setdefault(project.key, []).append(waiting)
            decisions += [Close(worker, project.key, 0) for worker in project.copies]
            if project.copies and not hold:
                message = f"{project.key} is closed in all workers"
                decisions.append(Note("project.evicted", project.key, message))
            decisions += self._closed_by(None, project)
        return [project.key for project in projects], decisions

    def _release(self, ticket: int, name: str) -> tuple[list[str], list[Decision]]:
        projects = self.projects.named(name)
        decisions: list[Decision] = []
        for project in projects:
            project.held = False
            self.projects.touch(project.key)
            if project.pinned:
                self.errands.want(project.key)
            decisions += [
                Done(closing.ticket, project.key, "released", "it was released meanwhile")
                for closing in self._closing.pop(project.key, [])
            ]
            decisions.append(Done(ticket, project.key, "released", ""))
        return [project.key for project in projects], decisions

    def _purge(self, ticket: int, name: str) -> tuple[list[str], list[Decision]]:
        """What is kept of its answers is not to be used any more."""
        projects = self.projects.named(name) if name else self.projects.all()
        keys = [project.key for project in projects] or ([name] if name else [])
        self.projects.purge(keys)
        return keys, [Done(ticket, key, "purged", "") for key in keys]

    def wanted(self, pinned: Iterable[str], held: Iterable[str]) -> None:
        """From now on these projects are pinned, and these on hold."""
        pins, holds = set(pinned), set(held)
        for project in self.projects.all():
            project.pinned, project.held = project.key in pins, project.key in holds
            self.projects.touch(project.key)
        for key in sorted(pins):
            self.projects.known(key).pinned = True
            self.errands.want(key)
        for key in holds:
            self.projects.known(key).held = True


def _opened(project: Project, worker: bytes, loaded: Loaded) -> Note:
    message = f"{project.key} is open after {1000 * loaded.seconds:.0f} ms"
    return Note("project.loaded", project.key, message, worker, loaded.seconds, often=True)
