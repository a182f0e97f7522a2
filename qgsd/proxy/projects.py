# SPDX-License-Identifier: GPL-2.0-or-later
"""What the dispatcher knows of projects: who has which version open, and what they cost.

A project's content has a generation. Requests are stamped with it when they arrive, and run
where that generation is open; so all workers switch to a new version at one instant, whatever
they have in memory. Pure, as the scheduler that uses it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import log
from typing import Literal

# How much of the past a mean remembers: the latest value counts for a quarter.
_WEIGHT = 0.25
# Projects that nobody has open are remembered for what they cost, about so many.
_MAX_KNOWN = 10_000
# For each new one so many of the longest unused are looked at, so that what is in use costs no search.
_LOOK_AT = 3
_HALF_LIFE = 10.0

Status = Literal["ok", "broken", "loading"]


@dataclass(slots=True)
class Fading:
    """A sum that halves every ten seconds."""

    value: float = 0.0
    since: float = 0.0

    def at(self, now: float) -> float:
        faded: float = 0.5 ** ((now - self.since) / _HALF_LIFE)
        return self.value * faded

    def add(self, amount: float, now: float) -> None:
        self.value, self.since = self.at(now) + amount, now

    def clear(self) -> None:
        self.value = 0.0


@dataclass(slots=True)
class Project:
    """One project. `version` tells its content apart, empty when any will do; times in seconds.

    `copies`: the generations that a worker has open, the last used worker last. `stamped`: how many
    requests of a generation have not ended. `waited`: seconds that its requests have waited lately
    although a worker was idle, one without it. `service_seconds`: what a request takes in the mean, and
    `first_seconds` the first one after a load; `demand` is the sum of them. `no_copies_until`: a further
    copy could not be had. `loads_now`: workers that load it though no request waits for that, the last one
    since `load_began`.
    `error` is QGIS's reason for not loading what is there now, `broken_version`.
    """

    key: str
    generation: int = 1
    version: str = ""
    copies: OrderedDict[bytes, set[int]] = field(default_factory=OrderedDict)
    stamped: Counter[int] = field(default_factory=Counter)
    loads_now: int = 0
    load_began: float = 0.0
    load_seconds: float = 0.0
    first_seconds: float = 0.0
    service_seconds: float = 0.0
    demand: Fading = field(default_factory=Fading)
    memory: int = 0
    waited: Fading = field(default_factory=Fading)
    no_copies_until: float = 0.0
    status: Status = "ok"
    error: str = ""
    broken_version: str = ""
    kept_old: bool = False
    changing: bool = False
    pinned: bool = False
    held: bool = False
    requests: int = 0
    hits: int = 0
    loads: int = 0
    last_load_seconds: float = 0.0
    total_load_seconds: float = 0.0
    evictions: int = 0

    def holders(self, generation: int) -> list[bytes]:
        """Workers that have this generation open, the last used first."""
        return [worker for worker in reversed(self.copies) if generation in self.copies[worker]]

    def is_open_somewhere(self, generation: int) -> bool:
        return any(generation in open_here for open_here in self.copies.values())

    @property
    def cold_seconds(self) -> float:
        """What a request takes longer where the project is not open: loading it, and filling its caches."""
        return self.load_seconds + max(0.0, self.first_seconds - self.service_seconds)

    def copies_needed(self, now: float) -> int:
        """So many that each is at work half of the time at most."""
        workers_busy = self.demand.at(now) * log(2) / _HALF_LIFE
        return 1 + int(2 * workers_busy)

    @property
    def in_use(self) -> bool:
        """It must not be forgotten."""
        busy = self.loads_now or self.changing or self.stamped.total()
        return bool(self.copies or busy or self.pinned or self.held)


def _mean(old: float, new: float) -> float:
    return new if not old else old + _WEIGHT * (new - old)


@dataclass(slots=True)
class Totals:
    """Of all projects, also forgotten ones; `hits` are requests that found their project open."""

    hits: int = 0
    loads: int = 0
    load_seconds: float = 0.0
    evictions: int = 0


class Projects:
    """All of them, and for each worker what it has open in the order of last use."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._projects: OrderedDict[str, Project] = OrderedDict()
        self._open: dict[bytes, OrderedDict[str, float]] = {}
        self._touched: set[str] = set()
        self._purged: set[str] = set()

    def get(self, key: str) -> Project | None:
        return self._projects.get(key)

    def known(self, key: str) -> Project:
        """The project of this key, from now on known."""
        project = self._projects.get(key)
        if project is None:
            project = self._projects[key] = Project(key)
            self._forget_some()
        return project

    def all(self) -> list[Project]:
        return list(self._projects.values())

    def named(self, name: str) -> list[Project]:
        """The projects a person may mean: the ending of the file can be left out in MAP, and here."""
        return [project for project in self._projects.values() if _stem(project.key) == _stem(name)]

    def _forget_some(self) -> None:
        if len(self._projects) <= _MAX_KNOWN:
            return
        for key in list(islice(self._projects, _LOOK_AT)):
            self.forget(key)
            if key in self._projects:
                self._projects.move_to_end(key)

    def forget_unused(self, project: Project) -> None:
        """Nobody has ever had it open, and nobody wants it any more: a name that somebody made up."""
        if not project.loads and project.status == "ok":
            self.forget(project.key)

    def forget(self, key: str) -> None:
        """Nothing is there under this name, unless it is in use all the same."""
        project = self._projects.get(key)
        if project is not None and not project.in_use:
            del self._projects[key]
            self.touch(key)

    # Who keeps answers wants to know.

    def touch(self, key: str) -> None:
        """The project's generation, or who has it open, may have changed."""
        self._touched.add(key)

    def purge(self, keys: Iterable[str]) -> None:
        """Answers from before must not be used any more, though the projects are the same."""
        self._purged.update(keys)

    @property
    def are_touched(self) -> bool:
        """`take_touched` would have something."""
        return bool(self._touched or self._purged)

    def take_touched(self) -> tuple[set[str], set[str]]:
        """Those that have been touched, and purged, since this was asked last."""
        taken = self._touched, self._purged
        self._touched, self._purged = set(), set()
        return taken

    # What workers have open.

    def joined(self, worker: bytes) -> None:
        self._open[worker] = OrderedDict()

    def open_count(self, worker: bytes) -> int:
        return len(self._open[worker])

    def open_in(self, worker: bytes) -> Iterator[tuple[Project, float]]:
        """What the worker has open and when it was used last, the longest unused first."""
        for key, used_at in self._open[worker].items():
            yield self._projects[key], used_at

    def oldest_use(self, worker: bytes) -> float:
        """When the project that it used least lately was used; it closes that one first."""
        return next(iter(self._open[worker].values()), 0.0)

    def opened(self, worker: bytes, project: Project, generation: int, now: float) -> None:
        project.copies.setdefault(worker, set()).add(generation)
        self.touch(project.key)
        self.used(worker, project, now)

    def used(self, worker: bytes, project: Project, now: float) -> None:
        project.copies.move_to_end(worker)
        self._open[worker][project.key] = now
        self._open[worker].move_to_end(project.key)
        if project.key in self._projects:
            self._projects.move_to_end(project.key)

    def closed(self, worker: bytes, key: str, generation: int) -> None:
        """The worker has closed a generation, or with 0 all it had."""
        project = self._projects.get(key)
        if project is None or worker not in project.copies:
            return
        self.touch(key)
        if generation:
            project.copies[worker].discard(generation)
        if not generation or not project.copies[worker]:
            del project.copies[worker]
            self._open[worker].pop(key, None)

    def gone(self, worker: bytes) -> list[tuple[str, float]]:
        """A worker is no more; the projects it had open and when it used them, the last used last."""
        had_open = list(self._open.pop(worker, {}).items())
        for key, _ in had_open:
            self._projects[key].copies.pop(worker, None)
            self.touch(key)
        return had_open

    # What they cost.

    @staticmethod
    def loading(project: Project, now: float) -> None:
        """A worker begins to load it though no request waits for that."""
        project.loads_now += 1
        project.load_began = now

    def asked(self, project: Project, *, warm: bool) -> None:
        """A request is sent to a worker, which has the project open (`warm`) or not."""
        project.requests += 1
        project.hits += warm
        self.totals.hits += warm

    def evicted(self, project: Project) -> None:
        """A worker has closed it, or is told to, though it has not changed."""
        project.evictions += 1
        self.totals.evictions += 1

    def measured_load(self, project: Project, seconds: float, memory: int) -> None:
        project.loads += 1
        project.last_load_seconds = seconds
        project.total_load_seconds += seconds
        self.totals.loads += 1
        self.totals.load_seconds += seconds
        project.load_seconds = _mean(project.load_seconds, seconds)
        project.memory = int(_mean(project.memory, memory))

    @staticmethod
    def measured_service(project: Project, seconds: float, now: float, *, first: bool) -> None:
        """`first`: it had to load the project; `seconds` are those after that."""
        project.demand.add(seconds, now)
        if first:
            project.first_seconds = _mean(project.first_seconds, seconds)
        else:
            project.service_seconds = _mean(project.service_seconds, seconds)


def _stem(key: str) -> str:
    return key[:-4] if key.endswith((".qgs", ".qgz")) else key
