# SPDX-License-Identifier: GPL-2.0-or-later
"""The control protocol, as it is on the wire; it is public and stays compatible.

The master binds a ZeroMQ ROUTER. Ask with a DEALER, or with a REQ if you need no
progress. A message is one frame of JSON in UTF-8 (a REQ puts an empty frame before
it by itself), at most 1 MiB.

A question:

    {"id": "1", "command": "scale", "args": {"workers": 8}}

`id` is a string (up to 256 characters) or a number that fits 64 bits; it comes back
with every message that belongs to the question, so that many can be under way on one
socket. They run side by side and are answered as they finish. `args` may be left out.

The one answer:

    {"id": "1", "ok": true, "result": {"target": 8, "ready": 8, "busy": 0, "starting": 0}}
    {"id": "1", "ok": false, "error": {"code": "bad_arguments", "message": "..."}}

Before it, to a DEALER, any number of:

    {"id": "1", "progress": {"message": "5 of 8 workers ready", "done": 5, "total": 8}}

The keys of progress are free; `message`, `done` and `total` are what qgsdctl shows.

Following: `{"id": "7", "command": "events", "args": {"follow": true}}` sends every event
from then on as progress. The first is a `follow.alive`, which says that from here on
nothing is missed; another one comes whenever there was no news for ten seconds.
`{"id": "7", "command": "cancel"}` ends it: the answer to 7 is then an empty list. It
ends too when the client has gone, or is a thousand messages behind.

Commands that change something answer when their effect is there, or at once with
`"wait": false`. A client that goes away does not stop what it asked for.

Error codes: those of `ErrorCode`, and the words a master refuses with. Scripts should
expect new ones, and new keys in every answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from qgsd.control.operations import Refused

Id = str | int | None

MAX_REQUEST = 1 << 20
"""The largest question that is read, in bytes."""

MAX_ID = 256
"""The longest `id`, in characters."""


class ErrorCode(StrEnum):
    """The codes the protocol itself uses; the last two are only ever made by the client."""

    BAD_REQUEST = "bad_request"
    UNKNOWN_COMMAND = "unknown_command"
    BAD_ARGUMENTS = "bad_arguments"
    REFUSED = "refused"
    BUSY = "busy"
    STOPPING = "stopping"
    READ_ONLY = "read_only"
    FAILED = "failed"
    TIMEOUT = "timeout"
    NO_MASTER = "no_master"


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """One question."""

    command: str
    id: Id = None
    args: dict[str, Any] = {}


class ErrorBody(Struct, frozen=True):
    """Why it was not done: `code` for scripts, `message` for people."""

    code: str
    message: str


class Reply(Struct, frozen=True):
    """One message of the master: progress when `progress` is set, else the answer."""

    id: Id
    ok: bool | UnsetType = UNSET
    result: Any = UNSET
    error: ErrorBody | UnsetType = UNSET
    progress: dict[str, Any] | UnsetType = UNSET


class Malformed(Refused):
    """A frame that is no question; `id` as far as it could be made out."""

    def __init__(self, message: str, id: Id = None) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message)
        self.id = id


def success(id: Id, result: Any) -> Reply:
    return Reply(id=id, ok=True, result=result)


def failure(id: Id, code: str, message: str) -> Reply:
    return Reply(id=id, ok=False, error=ErrorBody(str(code), message))


def progress(id: Id, report: dict[str, Any]) -> Reply:
    return Reply(id=id, progress=report)


def encode(message: Request | Reply) -> bytes:
    """The frame of a message.

    Raises TypeError, ValueError (UnicodeEncodeError included) or OverflowError for what JSON cannot say.
    """
    return msgspec.json.encode(message)


def decode_request(frame: bytes) -> Request:
    """The question in a frame; raises `Malformed` for whatever else it is.

    >>> decode_request(b'{"id": "1", "command": "ping"}').command
    'ping'
    """
    if len(frame) > MAX_REQUEST:
        raise Malformed(f"a request may have {MAX_REQUEST} bytes, this one has {len(frame)}")
    try:
        document = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"a request is one frame of JSON; this is none: {error}") from None
    id = _id_of(document)
    try:
        request = msgspec.convert(document, Request)
    except msgspec.ValidationError as error:
        raise Malformed(f"not a request: {error}", id) from None
    if request.id != id:
        raise Malformed(f"an id is a string of up to {MAX_ID} characters or a 64-bit number")
    return request


def decode_reply(frame: bytes) -> Reply:
    """The master's message in a frame; raises `msgspec.MsgspecError` or ValueError when it is none."""
    return msgspec.json.decode(frame, type=Reply)


def _id_of(document: Any) -> Id:
    """The id of a decoded frame, None when it has none that could be echoed."""
    id = document.get("id") if isinstance(document, dict) else None
    if isinstance(id, str):
        return id if len(id) <= MAX_ID else None
    if isinstance(id, int) and not isinstance(id, bool):
        return id if -(2**63) <= id < 2**63 else None
    return None
