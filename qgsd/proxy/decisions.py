# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler's vocabulary: what it is told of a request, and what it decides.

Several are made for each request: structs of msgspec are made ten times as fast as frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from qgsd.messages import Tile


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the operator sets; seconds. `worker_grace`: how long to hope for a first worker.

    `share`: the most workers one key may occupy while others are asked for, 0 for all but one.
    `cache_size`: projects a worker keeps open. `weights`: how much of the workers' time a tenant may have
    against others, who count 1.
    """

    max_queue: int
    queue_timeout: float
    worker_grace: float
    share: int = 0
    breaker_timeouts: int = 3
    breaker_pause: float = 10.0
    quarantine_size: int = 100
    quarantine_ttl: float = 600.0
    nested_depth: int = 4
    cache_size: int = 10
    weights: Mapping[str, float] = field(default_factory=dict)


class Arrival(Struct, frozen=True):
    """What the scheduler has to know of a request. `peer` is where its answer goes.

    Requests of one `fingerprint` are the same request; those of one `flight` get the same answer from QGIS
    and its plugins, empty for one that must have its own. `payload` is for whoever sends it to a worker.
    `tenant` is who its time is charged to, the project where empty; those of one `kind` take about as long.
    `tile`: it may be rendered together with its neighbours.
    """

    id: str
    peer: bytes
    key: str
    idempotent: bool
    timeout: float
    fingerprint: str = ""
    depth: int = 0
    parent: str = ""
    flight: str = ""
    tenant: str = ""
    kind: str = ""
    payload: Any = None
    tile: Tile | None = None


class Joined(Struct, frozen=True):
    """A neighbour that is rendered with a request; it has waited for so many seconds."""

    id: str
    queued: float
    payload: Any = None


class Loaded(Struct, frozen=True):
    """What became of a project in a worker, when it had to load it or to look whether it should.

    `version` is that of the content found; `seconds` and `memory` (bytes) are what loading took.
    """

    key: str
    generation: int
    outcome: Literal["loaded", "unchanged", "other", "failed", "gone", "away"]
    version: str = ""
    seconds: float = 0.0
    memory: int = 0
    error: str = ""


class Dispatch(Struct, frozen=True):
    """Send the request to the worker. Seconds it waited, seconds it has left, which attempt it is.

    It is to run on this `generation` of its project; a worker that has to load it must find `version`.
    A worker that still runs another one has it next. Its neighbours are `joined`: rendered with it.
    """

    worker: bytes
    id: str
    queued: float
    remaining: float
    attempt: int
    generation: int = 1
    version: str = ""
    payload: Any = None
    joined: tuple[Joined, ...] = ()


class Recall(Struct, frozen=True):
    """Have the worker not begin the request that it was to have next."""

    worker: bytes
    id: str


class Pause(Struct, frozen=True):
    """Have the worker wait with the rest of its answer to the request."""

    worker: bytes
    id: str


class Continue(Struct, frozen=True):
    """Have the worker go on with its answer, if it waits."""

    worker: bytes
    id: str


class Fail(Struct, frozen=True):
    """Tell the client; `status` as HTTP has it, `code` a word, `message` for people. `key` is its project."""

    peer: bytes
    id: str
    status: int
    code: str
    message: str
    retry_after: float = 0.0
    key: str = ""


class GiveBack(Struct, frozen=True):
    """Hand an unstarted request back to its http child: this dispatcher leaves."""

    peer: bytes
    id: str


class Retry(Struct, frozen=True):
    """For the record: the request goes back to the queue because its worker was lost."""

    id: str
    key: str
    worker: bytes


class Forget(Struct, frozen=True):
    """Nobody waits for the request any more."""

    id: str


class Release(Struct, frozen=True):
    """Let the worker go: nothing more will be sent to it."""

    worker: bytes


class Quarantined(Struct, frozen=True):
    """For the record: this request has killed its last worker for a while, and is not run before `until`."""

    id: str
    fingerprint: str
    key: str
    message: str
    until: float = 0.0
    payload: Any = None


class Tripped(Struct, frozen=True):
    """For the record: the breaker of a key has opened (for `pause` seconds), or closed (0)."""

    key: str
    pause: float
    message: str


class Reinforce(Struct, frozen=True):
    """Nested requests wait while their parents hold the workers: have so many more in reserve."""

    workers: int


class Load(Struct, frozen=True):
    """Have the worker open what is there now as this generation, unless it is of the version `unless`.

    With `version`, only if it is of that one.
    """

    worker: bytes
    key: str
    generation: int
    unless: str = ""
    version: str = ""


class Close(Struct, frozen=True):
    """Have the worker close the project, but for the generation `keep` (0: all of it)."""

    worker: bytes
    key: str
    keep: int


class Note(Struct, frozen=True):
    """For the record: an event about a project, in a `worker` or not; loading took `seconds`.

    `often`: the traffic makes such events, so that there may be many of them.
    """

    event: str
    key: str
    message: str
    worker: bytes = b""
    seconds: float | None = None
    often: bool = False


class Done(Struct, frozen=True):
    """What a person ordered for one project is done, or not, for the reason in `error`."""

    ticket: int
    key: str
    status: str
    error: str


Decision = (
    Dispatch | Fail | GiveBack | Retry | Forget | Release | Quarantined | Tripped | Reinforce
    | Load | Close | Note | Done | Pause | Continue | Recall
)  # fmt: skip
