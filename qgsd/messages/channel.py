# SPDX-License-Identifier: GPL-2.0-or-later
"""Channel messages: they travel over the socket pair that joins the master to each child (`qgsd.channel`).

Orders are imperatives, reports are facts.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from .machines import (
    MachineAnswered,
    MachineGone,
    MachineRefused,
    MachineSeen,
    OrderMachine,
    Reconnect,
)

# --- master -> child (orders) ----------------------------------------------


class Certificate(Struct, frozen=True):
    """A chain and its key (PEM; the key may stand in the chain), for these host names; none: for others."""

    names: list[str]
    chain: bytes
    key: bytes


class Tls(Struct, frozen=True):
    """What a child needs to speak TLS; the first certificate is the usual one. `client_ca` in PEM."""

    certificates: list[Certificate]
    client_ca: bytes = b""


class Begin(Struct, frozen=True, tag="begin"):
    """The first order to every child: who it is and where its peers are.

    Descriptors come along: the scoreboard, then the listening sockets of its role.
    `settings` is a msgpack-encoded `config.Settings`. `front` and `back` are the ZeroMQ
    addresses at which http children and workers reach the dispatcher. `token` marks nested requests;
    a `reserve` worker is there for them. `keys` of the cluster, the one in use first. `control`: where the
    admin child finds the control socket; `metrics`: the folder in which http children count, empty where
    nobody reads it. `gate`: where workers ask other servers, HOST:PORT, empty where there is
    none; `ports` on which this server serves. `tls`: of those that speak it.
    """

    role: str
    slot: int
    row: int
    generation: int
    instance: str
    machine: str
    settings: bytes
    front: str = ""
    back: list[str] = []
    tmpdir: str = ""
    token: str = ""
    reserve: bool = False
    keys: list[bytes] = []
    control: str = ""
    metrics: str = ""
    answers: str = ""
    run: str = ""
    gate: str = ""
    ports: list[int] = []
    tls: Tls | None = None


class Configure(Struct, frozen=True, tag="configure"):
    """New settings after a reload (a msgpack-encoded `config.Settings`), the keys of the cluster, and TLS."""

    settings: bytes
    keys: list[bytes] = []
    tls: Tls | None = None


class Drain(Struct, frozen=True, tag="drain"):
    """Take no new work, finish what runs, exit.

    `linger`: seconds an http child leaves idle keep-alive connections open, so that a client
    which is just sending its next request is answered (and told to close) instead of cut off.
    """

    linger: float = 0.0


class Poison(Struct, frozen=True):
    """A request in quarantine; `until` in seconds of CLOCK_MONOTONIC.

    `request` is its method and address; `body` what was posted, or the beginning of its `length` bytes.
    """

    fingerprint: str
    project: str
    request: str
    reason: str
    until: float
    content_type: str = ""
    body: bytes = b""
    length: int = 0


class PutInQuarantine(Struct, frozen=True, tag="put-in-quarantine"):
    """To the dispatcher: its predecessor knew this request as poison. One at a time, for it may be large."""

    entry: Poison


class ClearQuarantine(Struct, frozen=True, tag="clear-quarantine"):
    """To the dispatcher: no request is in quarantine any more."""


class Fork(Struct, frozen=True, tag="fork"):
    """To the template: fork a worker. Its channel and its log pipe come along as descriptors."""

    row: int
    tmpdir: str


class OrderProjects(Struct, frozen=True, tag="order-projects"):
    """To the dispatcher: do this with a project, or with all of that name; empty for all that are open.

    The answers are `ProjectsOrdered`, then `ProjectDone` for each of them.
    """

    ticket: int
    verb: Literal["reload", "load", "evict", "hold", "release", "purge"]
    project: str


class KeepProjects(Struct, frozen=True, tag="keep-projects"):
    """To the dispatcher: these projects are pinned, and these on hold, and no others."""

    pinned: list[str]
    held: list[str]


class ListProjects(Struct, frozen=True, tag="list-projects"):
    """To the dispatcher: tell what is known of projects, as `ProjectsListed`."""

    ticket: int


class ListQueue(Struct, frozen=True, tag="list-queue"):
    """To the dispatcher: tell who waits and runs, as `QueueListed`."""

    ticket: int


class LookAgain(Struct, frozen=True, tag="look-again"):
    """To a worker: look now whether open projects have changed."""


class ReopenLogs(Struct, frozen=True, tag="reopen"):
    """Log files were moved away: write to new ones."""


# --- child -> master (reports) ---------------------------------------------


class Ready(Struct, frozen=True, tag="ready"):
    """The child can do its work now; `info` says what it found (versions, plugins)."""

    info: dict[str, str] = {}


class Forked(Struct, frozen=True, tag="forked"):
    """From the template: the worker of `row` runs as `pid`, an orphan that the master inherits."""

    row: int
    pid: int


class Happened(Struct, frozen=True, tag="happened"):
    """An event worth telling, see docs for the names; `reason` in words."""

    event: str
    reason: str
    details: dict[str, str | int | float | None] = {}


class WantReserve(Struct, frozen=True, tag="want-reserve"):
    """From the dispatcher: nested requests wait; this many workers beyond the usual ones would do."""

    workers: int


class Poisonous(Struct, frozen=True, tag="poisonous"):
    """From the dispatcher: this request is in quarantine now. The master keeps it for its successor."""

    entry: Poison


class ProjectsOrdered(Struct, frozen=True, tag="ordered"):
    """From the dispatcher: the projects that an order is about."""

    ticket: int
    projects: list[str]


class ProjectDone(Struct, frozen=True, tag="done"):
    """From the dispatcher: an order has been carried out for one project, or not, for the reason in `error`.

    `status`: flipped, unchanged, kept-old; loaded, failed, gone; closed; released.
    """

    ticket: int
    project: str
    status: str
    error: str = ""


class ProjectState(Struct, frozen=True):
    """What the dispatcher knows of a project. `workers` by their labels; `load_seconds` the mean,
    beside it the last one and the sum of all.

    `memory` (bytes) is what a worker grew by when it loaded it. `hits` of the `requests` found it open.
    """

    project: str
    generation: int
    version: str
    workers: list[str]
    status: Literal["ok", "broken", "loading"]
    error: str
    load_seconds: float
    memory: int
    requests: int
    hits: int
    loads: int
    evictions: int
    pinned: bool
    held: bool
    last_load_seconds: float = 0.0
    total_load_seconds: float = 0.0


class ProjectsListed(Struct, frozen=True, tag="listed"):
    """From the dispatcher: the answer to `ListProjects`; `more` when a further one follows."""

    ticket: int
    projects: list[ProjectState]
    more: bool = False


class QueueLine(Struct, frozen=True):
    """The requests for one project; `oldest`: seconds that the one that has waited longest has waited."""

    project: str
    waiting: int
    running: int
    oldest: float
    nested: int


class QueueListed(Struct, frozen=True, tag="queue-listed"):
    """From the dispatcher: the answer to `ListQueue`; `more` when a further one follows."""

    ticket: int
    lines: list[QueueLine]
    more: bool = False


class Plugin(Struct, frozen=True):
    """A plugin that was found; `error` is empty for one that is loaded."""

    name: str
    version: str
    error: str = ""


class PluginsFound(Struct, frozen=True, tag="plugins"):
    """From the template, before it is ready: the plugins there are."""

    plugins: list[Plugin]


Order = (
    Begin | Configure | Drain | Fork | ReopenLogs | PutInQuarantine | ClearQuarantine
    | OrderProjects | KeepProjects | ListProjects | ListQueue | LookAgain | OrderMachine | Reconnect
)  # fmt: skip
Report = (
    Ready
    | Forked
    | Happened
    | Poisonous
    | WantReserve
    | ProjectsOrdered
    | ProjectDone
    | ProjectsListed
    | QueueListed
    | PluginsFound
    | MachineSeen
    | MachineGone
    | MachineRefused
    | MachineAnswered
)

decode_order = msgspec.msgpack.Decoder(Order).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
