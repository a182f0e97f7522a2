# SPDX-License-Identifier: GPL-2.0-or-later
"""Wire messages: they travel over ZeroMQ between http children, dispatcher and workers.

A message is two frames: the encoded struct and its data (a body or a piece of one, may be empty).
The dispatcher forwards data frames without looking at them.

`PROTOCOL` is raised when a change would make an older peer misread a message. New fields go to the end
with a default: msgspec ignores what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from .machines import MachineDone, MachineHere, MachineLeft, MachineOrder, MachineWelcome, WorkerLost

PROTOCOL = 2

Headers = list[tuple[str, str]]

# Sums of these stay numbers, whatever a peer says.
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Bytes = Annotated[int, Meta(ge=0, le=2**50)]
# And so do quotients of these: a client names them in BBOX.
Place = Annotated[float, Meta(ge=-1e12, le=1e12)]
Extent = Annotated[float, Meta(ge=1e-12, le=1e12)]

# The `service` of a request that only an OGC API of a plugin can answer; a worker knows which there are.
PLUGIN_API = "API"


def inner_id(unique: str, public: str) -> str:
    """The id of a request between the processes: two clients may give theirs the same one."""
    return f"{unique}~{public}"


def public_id(id: str) -> str:
    """The id by which clients and logs know the request of this inner one.

    >>> public_id(inner_id("7", "map-1")), public_id("map-1")
    ('map-1', 'map-1')
    """
    return id.rpartition("~")[2]


# --- http child -> dispatcher -------------------------------------------------


class Attach(Struct, frozen=True, array_like=True, tag="attach"):
    """An http child is here and may send requests over this connection."""

    protocol: int
    pid: int


class Detach(Struct, frozen=True, array_like=True, tag="detach"):
    """An http child has no request left on this connection and closes it."""


class Tile(Struct, frozen=True, array_like=True):
    """The place of a map among those that may be rendered with it as one: a metatile.

    Maps of one `row` differ in nothing but where along it they lie: from `at` on, `size` long, in the units
    of BBOX. At most so many (`most`) at once.
    """

    row: str
    at: Place
    size: Extent
    most: int


class Request(Struct, frozen=True, array_like=True, tag="request"):
    """A client's request; its body is the data frame.

    `project` is the canonical MAP, the key of fairness and affinity. `timeout` is
    in seconds from the moment of sending. `idempotent`: may be run again on
    another worker after a crash. Requests of one `fingerprint` are the same request.
    `depth` is how many requests of this server wait for it (a project that shows a map of its own server),
    `parent` the id of the nearest of them. Requests of one `flight` look the same to QGIS and its plugins, so
    they may share an answer; empty for one that must have its own. `pixels` of the picture that is asked
    for, 0 where none is; `client` the address of who asks. `debug`: its worker logs all it can of it.
    `tile`: it may be rendered together with its neighbours.
    """

    id: str
    project: str
    method: str
    url: str
    headers: Headers
    service: str
    operation: str
    idempotent: bool
    timeout: Seconds
    fingerprint: str = ""
    depth: int = 0
    parent: str = ""
    flight: str = ""
    pixels: int = 0
    client: str = ""
    debug: bool = False
    tile: Tile | None = None


class Cancel(Struct, frozen=True, array_like=True, tag="cancel"):
    """The client of this request has gone; an answer is of no use any more."""

    id: str


class Hold(Struct, frozen=True, array_like=True, tag="hold"):
    """The client reads so slowly that nothing more of this answer can be kept: the worker must pause."""

    id: str


class Resume(Struct, frozen=True, array_like=True, tag="resume"):
    """There is room again for more of this answer."""

    id: str


# --- dispatcher -> http child -------------------------------------------------


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


# --- dispatcher -> any peer ---------------------------------------------------


class Moving(Struct, frozen=True, array_like=True, tag="moving"):
    """The dispatcher leaves: open a new connection to the same address and leave this one.

    Its successor listens on the same socket beside it, so the new connection may reach the
    leaving one again; it then says this again.
    """


# --- dispatcher -> worker -----------------------------------------------------


class Assignment(Struct, frozen=True, array_like=True, tag="assignment"):
    """Run the request that follows (two more frames: the `Request` as it came, and its body).

    `queued` seconds it has waited, `remaining` seconds until its deadline. It is to run on this
    `generation` of its project. A worker that has to load it for that must find `version`, unless that is
    empty; else it answers `Superseded`. A worker that runs another one has it next. `sent_at` by the clock
    of the dispatcher, in seconds.

    `joined`: its neighbours are to be rendered with it (a further frame each, their `Request`), which have
    waited for so many seconds. They are answered before it; those that are not wait again.
    """

    queued: float
    remaining: float
    attempt: int
    generation: int = 1
    version: str = ""
    sent_at: float = 0.0
    joined: list[float] = []


class Recall(Struct, frozen=True, array_like=True, tag="recall"):
    """Do not begin the request that you were to have next. The answer is `Declined`, in time or not."""

    id: str


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
    """The answer to `Join`: requests may come now. `recalls`: the dispatcher understands `Declined`."""

    recalls: bool = False


class Dismiss(Struct, frozen=True, array_like=True, tag="dismiss"):
    """The answer to `Leave`: nothing more will be sent to this worker. Or to `Join`: the `reason` why not."""

    reason: str = ""


# --- worker -> dispatcher (answers go on to the http child as they are) --------


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
    seconds: Seconds = 0.0
    memory: Bytes = 0
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
    tell (see `worker.plugins`). `prefetches`: it may be assigned a request while it runs another one.
    `joins`: it can render neighbours as one.
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
    prefetches: bool = False
    joins: bool = False


class Declined(Struct, frozen=True, array_like=True, tag="declined"):
    """The worker does not begin this request: it was recalled, or the worker leaves.

    If it had begun it when it heard of the recall, this comes when it has ended.
    """

    id: str


class Leave(Struct, frozen=True, array_like=True, tag="leave"):
    """The worker takes no new work; it goes once it is dismissed."""


class Timing(Struct, frozen=True, array_like=True):
    """Where a request's time went, in seconds; `shared`: it got what was done for another one.

    `tiles`: so many neighbours were rendered as one, 0 for a request that was rendered by itself.
    """

    queue: float = 0.0
    load: float = 0.0
    render: float = 0.0
    shared: bool = False
    tiles: int = 0


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
    """The last piece of the body; `complete` is false when QGIS failed in mid-answer.

    So many `pieces` (`Chunk`) came before it: what was under way when the connection to another machine broke
    is lost, and the next piece may come over a new one. -1: a worker of before does not tell.
    """

    id: str
    timing: Timing
    complete: bool
    pieces: int = -1


AnswerPart = Answer | Chunk | End | Failure


def shared(part: AnswerPart, id: str, waited: float) -> AnswerPart:
    """A part of an answer for another request that shares it, and has waited for so many seconds.

    Its time went where that of the first one did, as far as it was there. All end together, so:

    >>> part = Answer("1", 200, [], Timing(queue=3.0, load=1.0, render=2.0), "0", True)
    >>> shared(part, "2", waited=2.5).timing
    Timing(queue=0.0, load=0.5, render=2.0, shared=True, tiles=0)
    """
    if isinstance(part, Chunk | Failure):
        return msgspec.structs.replace(part, id=id)
    render = min(part.timing.render, waited)
    load = min(part.timing.load, waited - render)
    timing = Timing(waited - render - load, load, render, shared=True, tiles=part.timing.tiles)
    return msgspec.structs.replace(part, id=id, timing=timing)


FromHttp = Attach | Detach | Request | Cancel | Hold | Resume
ToHttp = Failure | HandBack | Workforce | Serving | Moving | Answer | Chunk | End
FromWorker = (
    Join | Declined | Leave | Answer | Chunk | End | Failure | WorkerLost
    | ProjectLoaded | ProjectClosed | ProjectChanged | Superseded
    | MachineHere | MachineLeft | MachineDone
)  # fmt: skip
ToWorker = (
    Welcome | Assignment | Recall | Dismiss | Moving | Hold | Resume | LoadProject | CloseProject | Pins
)
ToMachine = MachineWelcome | MachineOrder | Welcome | Dismiss | Moving

decode_from_http = msgspec.msgpack.Decoder(FromHttp).decode
decode_to_http = msgspec.msgpack.Decoder(ToHttp).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_to_machine = msgspec.msgpack.Decoder(ToMachine).decode
decode_request = msgspec.msgpack.Decoder(Request).decode
