# SPDX-License-Identifier: GPL-2.0-or-later
"""The typed messages that qgsd's processes send each other, all of them.

Two vocabularies, both MessagePack by msgspec, never pickle:

*Wire* messages travel over ZeroMQ between http children, dispatcher and workers.
A message is two frames: the encoded struct and its data (a body or a piece of
one, may be empty). The dispatcher forwards data frames without looking at them.

*Channel* messages travel over the socket pair that joins the master to each
child (see `channel`). Orders are imperatives, reports are facts.

`PROTOCOL` is raised when a change would make an older peer misread a message.
New fields go to the end with a default: msgspec ignores what it does not know.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

PROTOCOL = 2

Headers = list[tuple[str, str]]

# The `service` of a request that only an OGC API of a plugin can answer; a worker knows which there are.
PLUGIN_API = "API"


# --- wire: http child -> dispatcher -------------------------------------------------


class Attach(Struct, frozen=True, array_like=True, tag="attach"):
    """An http child is here and may send requests over this connection."""

    protocol: int
    pid: int


class Detach(Struct, frozen=True, array_like=True, tag="detach"):
    """An http child has no request left on this connection and closes it."""


class Request(Struct, frozen=True, array_like=True, tag="request"):
    """A client's request; its body is the data frame.

    `project` is the canonical MAP, the key of fairness and affinity. `timeout` is
    in seconds from the moment of sending. `idempotent`: may be run again on
    another worker after a crash. Requests of one `fingerprint` are the same request.
    `depth` is how many requests of this server wait for it (a project that shows a map of its own server),
    `parent` the id of the nearest of them. Requests of one `flight` look the same to QGIS and its plugins, so
    they may share an answer; empty for one that must have its own. `pixels` of the picture that is asked
    for, 0 where none is; `client` the address of who asks. `debug`: its worker logs all it can of it.
    """

    id: str
    project: str
    method: str
    url: str
    headers: Headers
    service: str
    operation: str
    idempotent: bool
    timeout: float
    fingerprint: str = ""
    depth: int = 0
    parent: str = ""
    flight: str = ""
    pixels: int = 0
    client: str = ""
    debug: bool = False


class Cancel(Struct, frozen=True, array_like=True, tag="cancel"):
    """The client of this request has gone; an answer is of no use any more."""

    id: str


class Hold(Struct, frozen=True, array_like=True, tag="hold"):
    """The client reads so slowly that nothing more of this answer can be kept: the worker must pause."""

    id: str


class Resume(Struct, frozen=True, array_like=True, tag="resume"):
    """There is room again for more of this answer."""

    id: str


# --- wire: dispatcher -> http child -------------------------------------------------


class Failure(Struct, frozen=True, array_like=True, tag="failure"):
    """The request ends without an answer of QGIS; `status` is what HTTP shall say.

    A worker sends it too, for a project that is not there or does not load.
    """

    id: str
    status: int
    code: str
    message: str
    retry_after: float = 0.0


class HandBack(Struct, frozen=True, array_like=True, tag="handback"):
    """The dispatcher leaves and has not started this request: send it to the next one."""

    id: str


class Serving(Struct, frozen=True, array_like=True, tag="serving"):
    """Which projects are served in which state; told on attaching (`whole`) and whenever it changes.

    `projects`: generation, stamp and version, see `proxy.served`; stamp 0: it has none any more. They count
    while `serial` is the one that stands in the scoreboard, in the `row` of the dispatcher. `codes`: whose
    answers may be kept. `depends`: the request headers by which they differ; None: none may be kept.
    """

    serial: int
    row: int
    codes: list[str]
    depends: list[str] | None
    projects: dict[str, tuple[int, int, str]]
    whole: bool = False


class Workforce(Struct, frozen=True, array_like=True, tag="workforce"):
    """How many workers can answer; told on attaching and whenever there are none or the first again."""

    workers: int


# --- wire: dispatcher -> any peer ---------------------------------------------------


class Moving(Struct, frozen=True, array_like=True, tag="moving"):
    """The dispatcher leaves: open a new connection to the same address and leave this one.

    Its successor listens on the same socket beside it, so the new connection may reach the
    leaving one again; it then says this again.
    """


# --- wire: dispatcher -> worker -----------------------------------------------------


class Assignment(Struct, frozen=True, array_like=True, tag="assignment"):
    """Run the request that follows (two more frames: the `Request` as it came, and its body).

    `queued` seconds it has waited, `remaining` seconds until its deadline. It is to run on this
    `generation` of its project. A worker that has to load it for that must find `version`, unless that is
    empty; else it answers `Superseded`.
    """

    queued: float
    remaining: float
    attempt: int
    generation: int = 1
    version: str = ""


class LoadProject(Struct, frozen=True, array_like=True, tag="load"):
    """Open what is there now as this generation, beside others; nothing if it is of the version `unless`.

    Nothing either if `version` is given and it is of another. The answer is `ProjectLoaded`.
    """

    project: str
    generation: int
    unless: str = ""
    version: str = ""


class CloseProject(Struct, frozen=True, array_like=True, tag="close"):
    """Close the project and its files, but for the generation `keep` (0: all); answer `ProjectClosed`."""

    project: str
    keep: int


class Pins(Struct, frozen=True, array_like=True, tag="pins"):
    """These projects, and no others, are not closed to make room."""

    projects: list[str]


class Welcome(Struct, frozen=True, array_like=True, tag="welcome"):
    """The answer to `Join`: requests may come now."""


class Dismiss(Struct, frozen=True, array_like=True, tag="dismiss"):
    """The answer to `Leave`: nothing more will be sent to this worker. Or to `Join`: the `reason` why not."""

    reason: str = ""


# --- wire: worker -> dispatcher (answers go on to the http child as they are) --------


Outcome = Literal["loaded", "unchanged", "other", "failed", "gone", "away"]


class ProjectLoaded(Struct, frozen=True, array_like=True, tag="loaded"):
    """What became of a project that was to be loaded, for a request or by `LoadProject`.

    `version` tells the content that was found from others, on any machine. `seconds` and `memory` (bytes)
    are what loading took. "unchanged": it was of the version `unless`. "other": it was not of the
    version that was asked for. "gone": nothing is there. "away": its
    store does not answer.
    `status` and `code` are what a client is told when it could not be loaded.
    """

    project: str
    generation: int
    outcome: Outcome
    version: str = ""
    seconds: float = 0.0
    memory: int = 0
    error: str = ""
    status: int = 0
    code: str = ""


class ProjectClosed(Struct, frozen=True, array_like=True, tag="closed"):
    """The project is closed here, to make room (`keep` 0) or as `CloseProject` said."""

    project: str
    keep: int


class ProjectChanged(Struct, frozen=True, array_like=True, tag="changed"):
    """An open project has another content now where it is stored; `version` is empty when it is gone."""

    project: str
    version: str


class Superseded(Struct, frozen=True, array_like=True, tag="superseded"):
    """This request was not run: the version it is to run on is not there any more, this other one is.

    `known` is false when the store does not answer.
    """

    id: str
    version: str
    known: bool = True


class Join(Struct, frozen=True, array_like=True, tag="join"):
    """A worker is idle and wants work. `machine`, `slot` and `pid` say who it is to people.

    `has_open`: the projects it has open from an earlier connection. `code` is the same for workers of one
    template. `depends`: the request headers by which its answers differ, None if it has plugins that do not
    tell (see `worker.plugins`).
    """

    protocol: int
    version: str
    machine: str
    slot: int
    pid: int
    reserve: bool = False
    has_open: list[ProjectLoaded] = []
    code: str = ""
    depends: list[str] | None = None


class Leave(Struct, frozen=True, array_like=True, tag="leave"):
    """The worker takes no new work; it goes once it is dismissed."""


class Timing(Struct, frozen=True, array_like=True):
    """Where a request's time went, in seconds; `shared`: it got what was done for another one."""

    queue: float = 0.0
    load: float = 0.0
    render: float = 0.0
    shared: bool = False


class Answer(Struct, frozen=True, array_like=True, tag="answer"):
    """Status and headers, with the first piece of the body; `last` when that is all of it.

    It was made by this `code`, of this `generation` of the project, which here was of this `version`.
    """

    id: str
    status: int
    headers: Headers
    timing: Timing
    worker: str
    last: bool
    code: str = ""
    generation: int = 0
    version: str = ""


class Chunk(Struct, frozen=True, array_like=True, tag="chunk"):
    """A further piece of the body."""

    id: str


class End(Struct, frozen=True, array_like=True, tag="end"):
    """The last piece of the body; `complete` is false when QGIS failed in mid-answer."""

    id: str
    timing: Timing
    complete: bool


# --- wire: a machine's master -> dispatcher -----------------------------------------


class WorkerLost(Struct, frozen=True, array_like=True, tag="lost"):
    """The worker process has ended without leaving; `reason` in words.

    `worker` is the name it joined by, less the serial number of its connection. `own_fault`: what
    it did ended it (a segmentation fault), not somebody else (a kill).
    """

    worker: str
    reason: str
    own_fault: bool = True


AnswerPart = Answer | Chunk | End | Failure


def shared(part: AnswerPart, id: str, waited: float) -> AnswerPart:
    """A part of an answer for another request that shares it, and has waited for so many seconds.

    Its time went where that of the first one did, as far as it was there. All end together, so:

    >>> part = Answer("1", 200, [], Timing(queue=3.0, load=1.0, render=2.0), "0", True)
    >>> shared(part, "2", waited=2.5).timing
    Timing(queue=0.0, load=0.5, render=2.0, shared=True)
    """
    if isinstance(part, Chunk | Failure):
        return msgspec.structs.replace(part, id=id)
    render = min(part.timing.render, waited)
    load = min(part.timing.load, waited - render)
    timing = Timing(waited - render - load, load, render, shared=True)
    return msgspec.structs.replace(part, id=id, timing=timing)


FromHttp = Attach | Detach | Request | Cancel | Hold | Resume
ToHttp = Failure | HandBack | Workforce | Serving | Moving | Answer | Chunk | End
FromWorker = (
    Join | Leave | Answer | Chunk | End | Failure | WorkerLost
    | ProjectLoaded | ProjectClosed | ProjectChanged | Superseded
)  # fmt: skip
ToWorker = Welcome | Assignment | Dismiss | Moving | Hold | Resume | LoadProject | CloseProject | Pins


# --- channel: master -> child (orders) ----------------------------------------------


class Begin(Struct, frozen=True, tag="begin"):
    """The first order to every child: who it is and where its peers are.

    Descriptors come along: the scoreboard, then the listening sockets of its role.
    `settings` is a msgpack-encoded `config.Settings`. `front` and `back` are the ZeroMQ
    addresses at which http children and workers reach the dispatcher. `token` marks nested requests;
    a `reserve` worker is there for them. `keys` of the cluster, the one in use first. `control`: where the
    admin child finds the control socket; `metrics`: the folder in which http children count, empty where
    nobody reads it.
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


class Configure(Struct, frozen=True, tag="configure"):
    """New settings after a reload (a msgpack-encoded `config.Settings`), and the keys of the cluster."""

    settings: bytes
    keys: list[bytes] = []


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


# --- channel: child -> master (reports) ---------------------------------------------


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
    | OrderProjects | KeepProjects | ListProjects | ListQueue | LookAgain
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
)

encode = msgspec.msgpack.Encoder().encode
decode_from_http = msgspec.msgpack.Decoder(FromHttp).decode
decode_to_http = msgspec.msgpack.Decoder(ToHttp).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
