# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control socket answers: one typed record per kind of answer.

These are the public names that scripts rely on; `qgsdctl --json` prints them as
they are. Adding a field is compatible, renaming or removing one is not.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ChildRole = Literal["master", "template", "dispatcher", "http", "admin", "gate", "worker"]
ChildState = Literal["starting", "idle", "busy", "draining", "backoff"]
InstanceState = Literal["starting", "running", "draining"]


class WorkerCounts(Struct, frozen=True):
    """How many workers are wanted (`target`) and how many are in which state."""

    target: int
    ready: int
    busy: int
    starting: int


class QueueStatus(Struct, frozen=True):
    """Requests waiting for a worker, and how many may wait."""

    waiting: int
    max: int


class WorkerTime(Struct, frozen=True):
    """Seconds that workers have been there for this queue, and at work, all of them added up.

    `joined`: the workers that are there now, those of other machines included.
    """

    total: float = 0.0
    busy: float = 0.0
    joined: int = 0


class EndCount(Struct, frozen=True):
    """How often a child of this role has ended so. `how`: crashed, killed, retired, drained.

    `reason` is a word: of a crash the signal, of a kill or retirement the rule.
    """

    role: ChildRole
    how: str
    reason: str
    count: int


class MachineRecord(Struct, frozen=True):
    """A worker machine of a proxy: `uptime` in seconds since it has joined, `workers` those it has in all."""

    machine: str
    state: InstanceState
    version: str
    qgis_version: str
    pid: int
    uptime: float
    workers: WorkerCounts


class Counters(Struct, frozen=True):
    """Totals since the master started.

    `cache_hits` are answers from the response cache, `tiles_cut` those cut out of the picture of a neighbour.
    Of projects are: requests that found theirs open, loads, the seconds they took together, and copies
    closed that had not changed.
    """

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    retries: int = 0
    crashes: int = 0
    restarts: int = 0
    coalesced: int = 0
    cache_hits: int = 0
    project_hits: int = 0
    project_loads: int = 0
    project_load_seconds: float = 0.0
    project_evictions: int = 0
    tiles_cut: int = 0


class Status(Struct, frozen=True):
    """The instance in one look; `uptime` in seconds, `listen` as addresses a person can read. `workers` are
    those of all `machines`, which only a proxy has.

    `oldest`: seconds that the request has waited which has waited for a worker for longest.
    """

    state: InstanceState
    version: str
    qgis_version: str
    pid: int
    uptime: float
    listen: list[str]
    workers: WorkerCounts
    queue: QueueStatus
    counters: Counters
    generation: int
    instance: str
    oldest: float = 0.0
    worker_time: WorkerTime = WorkerTime()
    ends: list[EndCount] = []
    machines: list[MachineRecord] = []


class ProcessRecord(Struct, frozen=True):
    """One row of `ps`: a process of the instance, or a slot that rests (`backoff`, pid null).

    `uptime` in seconds, `rss` and `pss` in bytes, `cpu` in percent of one core; `request_age`: seconds that
    a busy worker has been at its request.
    """

    role: ChildRole
    slot: int | None
    pid: int | None
    state: ChildState
    uptime: float
    requests: int
    rss: int
    pss: int
    cpu: float
    project: str | None
    generation: int
    machine: str = ""
    request_age: float = 0.0


class ReloadRecord(Struct, frozen=True):
    """What a reload did to one project; `error` is QGIS's reason when the old version was kept."""

    project: str
    status: Literal["flipped", "unchanged", "kept-old"]
    error: str | None = None


class ProjectRecord(Struct, frozen=True):
    """A project that is open, broken, pinned or on hold. `workers`: the slots that have it open.

    `load_ms`: what loading takes, in the mean; `last_load_ms`: what it took the last time; `load_seconds`:
    what all `loads` took together. `memory`: bytes a worker grew by; `hits`: requests of `requests` that
    found it open; `evictions`: copies closed that had not changed; `error`: why what is stored now does not
    load.
    The counts begin with the dispatcher and when the project is heard of for the first time.
    """

    project: str
    generation: int
    workers: list[int | str]
    load_ms: float
    status: Literal["ok", "broken", "loading"]
    error: str | None
    memory: int
    requests: int
    hits: int
    loads: int
    evictions: int
    pinned: bool
    held: bool
    last_load_ms: float = 0.0
    load_seconds: float = 0.0


class QueueRecord(Struct, frozen=True):
    """The requests for one project: `waiting` for a worker, `running`, `oldest`: seconds the one that has
    waited longest has waited (0 where none waits). `nested`: those asked by requests of this very server."""

    project: str
    waiting: int
    running: int
    oldest: float
    nested: int = 0


class PluginRecord(Struct, frozen=True):
    """A QGIS Server plugin that the template found; `error` says why one is "broken"."""

    name: str
    version: str
    status: Literal["loaded", "broken"]
    error: str | None = None


class QuarantineRecord(Struct, frozen=True):
    """A request that is not run because it crashed QGIS; `seconds` until it is let out.

    `body` is what was posted, as text, or the beginning of its `length` bytes.
    """

    fingerprint: str
    project: str
    request: str
    reason: str
    seconds: float
    content_type: str = ""
    body: str = ""
    length: int = 0


class EventRecord(Struct, frozen=True):
    """Something that happened; `time` in seconds since the epoch, `reason` in words for a person."""

    time: float
    event: str
    reason: str
    details: dict[str, str | int | float | None] = {}


class Snapshot(Struct, frozen=True):
    """What `top` shows: status, processes and queue at one moment; no queue on a proxy's worker machines."""

    status: Status
    processes: list[ProcessRecord]
    queue: list[QueueRecord] = []
