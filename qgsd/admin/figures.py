# SPDX-License-Identifier: GPL-2.0-or-later
"""The metrics that come from the control socket: declared, and made of its answers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qgsd.metrics import Declared

Sample = tuple[tuple[str, ...], float]
Samples = Callable[["Seen"], Iterator[Sample]]

STATES = ("starting", "idle", "busy", "draining", "backoff")
OTHER = "other"


@dataclass
class Seen:
    """The answers at one scrape. `has_queue` is false where the queue is on another machine.

    `named`: the projects that have a label of their own.
    """

    status: Mapping[str, Any]
    processes: list[Mapping[str, Any]]
    projects: list[Mapping[str, Any]] = field(default_factory=list)
    queue: list[Mapping[str, Any]] = field(default_factory=list)
    saturation: float = 0.0
    used: float = 0.0
    named: frozenset[str] = frozenset()
    has_queue: bool = True

    def label(self, project: str) -> str:
        return project if project in self.named else (OTHER if project else "none")

    def workers(self) -> list[Mapping[str, Any]]:
        return [row for row in self.processes if row["role"] == "worker"]


def _one(value: Callable[[Seen], float]) -> Samples:
    def samples(seen: Seen) -> Iterator[Sample]:
        yield (), value(seen)

    return samples


def _counter(key: str) -> Samples:
    return _one(lambda seen: seen.status["counters"].get(key, 0))


def _info(seen: Seen) -> Iterator[Sample]:
    status = seen.status
    yield (status["version"], status["qgis_version"] or "none", status["instance"]), 1.0


def _worker_states(seen: Seen) -> Iterator[Sample]:
    states = Counter(row["state"] for row in seen.workers())
    for state in STATES:
        yield (state,), states[state]


def _wanted_here(seen: Seen) -> float:
    """A proxy's status has the sum over its machines, each of which tells its own."""
    elsewhere = sum(machine["workers"]["target"] for machine in seen.status.get("machines", ()))
    return float(seen.status["workers"]["target"] - elsewhere)


def _ends(seen: Seen) -> Iterator[Sample]:
    for end in seen.status["ends"]:
        yield (end["role"], end["how"], end["reason"]), end["count"]


def _memory(seen: Seen) -> Iterator[Sample]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for row in seen.processes:
        slot = "" if row["slot"] is None else str(row["slot"])
        for kind in ("rss", "pss"):
            sums[row["role"], slot, kind] += row[kind]
    yield from sums.items()


def _of_projects(key: str, *, scale: float = 1.0, largest: bool = False) -> Samples:
    """A figure of the projects: of those without a name of their own the sum, or the largest."""

    def samples(seen: Seen) -> Iterator[Sample]:
        told: dict[str, float] = {}
        for row in seen.projects:
            value = row[key]
            number = (len(value) if isinstance(value, list) else float(value)) * scale
            label, before = seen.label(row["project"]), told.get(seen.label(row["project"]), 0.0)
            told[label] = max(before, number) if largest else before + number
        for label, number in told.items():
            yield (label,), number

    return samples


def _broken(seen: Seen) -> Iterator[Sample]:
    yield (), sum(row["status"] == "broken" for row in seen.projects)


def _open(seen: Seen) -> Iterator[Sample]:
    yield (), sum(bool(row["workers"]) for row in seen.projects)


def _waiting(seen: Seen) -> Iterator[Sample]:
    sums: Counter[str] = Counter()
    for line in seen.queue:
        sums[seen.label(line["project"])] += line["waiting"]
    for label, number in sums.items():
        yield (label,), number


def _declare(
    name: str, kind: Any, help: str, labels: tuple[str, ...], samples: Samples
) -> tuple[Declared, Samples]:
    return Declared(name, kind, help, labels), samples


# What these begin with is told where the queue is.
OF_THE_QUEUE = ("qgsd_queue", "qgsd_project", "qgsd_saturation", "qgsd_worker_", "qgsd_workers_joined")

P = ("project",)
FIGURES: tuple[tuple[Declared, Samples], ...] = (
    _declare("qgsd_info", "gauge", "Versions, and the name of the instance; always 1.",
             ("version", "qgis_version", "instance"), _info),
    _declare("qgsd_uptime_seconds", "gauge", "Seconds since the master started.", (),
             _one(lambda seen: seen.status["uptime"])),
    _declare("qgsd_ready", "gauge", "1 when the instance serves, 0 while it starts or stops.", (),
             _one(lambda seen: seen.status["state"] == "running")),
    _declare("qgsd_saturation", "gauge",
             "Share of the workers' time in use over the last 15 s, plus requests waiting per worker. 1: all "
             "are busy and nobody waits. The number to scale on.", (), _one(lambda seen: seen.saturation)),
    _declare("qgsd_worker_used_ratio", "gauge", "The first part of qgsd_saturation: time in use.", (),
             _one(lambda seen: seen.used)),
    _declare("qgsd_worker_seconds_total", "counter", "Seconds that workers were there, added up.", (),
             _one(lambda seen: seen.status["worker_time"]["total"])),
    _declare("qgsd_worker_busy_seconds_total", "counter", "Seconds of these that workers were at work.", (),
             _one(lambda seen: seen.status["worker_time"]["busy"])),
    _declare("qgsd_workers", "gauge", "Workers of this machine by state.", ("state",), _worker_states),
    _declare("qgsd_workers_wanted", "gauge", "How many workers this machine shall have.", (),
             _one(_wanted_here)),
    _declare("qgsd_workers_joined", "gauge", "Workers at the queue, those of other machines included.", (),
             _one(lambda seen: seen.status["worker_time"]["joined"])),
    _declare("qgsd_queue_length", "gauge", "Requests that wait for a worker.", (),
             _one(lambda seen: seen.status["queue"]["waiting"])),
    _declare("qgsd_queue_limit", "gauge", "How many may wait.", (),
             _one(lambda seen: seen.status["queue"]["max"])),
    _declare("qgsd_queue_oldest_seconds", "gauge", "How long the oldest request in the queue has waited.", (),
             _one(lambda seen: seen.status["oldest"])),
    _declare("qgsd_queue_project_length", "gauge", "Requests of a project that wait.", P, _waiting),
    _declare("qgsd_timeouts_total", "counter", "Requests answered 504.", (), _counter("timeouts")),
    _declare("qgsd_retries_total", "counter", "Requests run again because their worker was lost.", (),
             _counter("retries")),
    _declare("qgsd_coalesced_total", "counter", "Requests answered by the rendering of an identical one.", (),
             _counter("coalesced")),
    _declare("qgsd_tiles_cut_total", "counter",
             "Requests whose answer was cut out of the picture of a neighbour ([metatiles]).", (),
             _counter("tiles_cut")),
    _declare("qgsd_cache_hits_total", "counter", "Requests answered from the response cache.", (),
             _counter("cache_hits")),
    _declare("qgsd_child_ends_total", "counter",
             "Children that have ended, by how (crashed, killed, retired, drained) and why.",
             ("role", "how", "reason"), _ends),
    _declare("qgsd_child_restarts_total", "counter", "Children started where one had been before.", (),
             _counter("restarts")),
    _declare("qgsd_memory_bytes", "gauge",
             "Memory of the processes; pss shares common pages among their users, so it may be added up.",
             ("role", "slot", "kind"), _memory),
    _declare("qgsd_projects_open", "gauge", "Projects that some worker has open.", (), _open),
    _declare("qgsd_projects_broken", "gauge", "Projects whose stored version does not load.", (), _broken),
    _declare("qgsd_project_workers", "gauge", "Workers that have it open.", P, _of_projects("workers")),
    _declare("qgsd_project_load_mean_seconds", "gauge", "What loading the project takes, in the mean.", P,
             _of_projects("load_ms", scale=0.001, largest=True)),
    _declare("qgsd_project_memory_bytes", "gauge", "What a worker grew by when it loaded the project.", P,
             _of_projects("memory", largest=True)),
    _declare("qgsd_project_loads_total", "counter", "Loads of this project.", P, _of_projects("loads")),
    _declare("qgsd_project_load_seconds_total", "counter", "Seconds that these loads took.", P,
             _of_projects("load_seconds")),
    _declare("qgsd_project_evictions_total", "counter", "Copies of this project closed to make room.", P,
             _of_projects("evictions")),
    _declare("qgsd_project_hits_total", "counter", "Requests that found this project open.", P,
             _of_projects("hits")),
)  # fmt: skip


class Names:
    """Which projects have a label of their own: the first `most` that were seen, for good."""

    def __init__(self) -> None:
        self._named: dict[str, None] = {}

    def choose(self, projects: Iterator[str], most: int) -> frozenset[str]:
        for project in projects:
            if len(self._named) < most and project:
                self._named[project] = None
        return frozenset(list(self._named)[:most])
