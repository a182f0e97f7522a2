# SPDX-License-Identifier: GPL-2.0-or-later
"""W3C Trace Context: whose trace a request belongs to (https://www.w3.org/TR/trace-context/). Pure.

Without spans of its own qgsd forwards: a context that is valid goes on unchanged, one that is not goes
nowhere, and none is made, for nobody would have the trace that it begins. With spans (`spans.py`) it takes
part: plugins see the rendering as their parent, and a request without a valid context begins a trace.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tornado.httputil import HTTPHeaders

Pairs = list[tuple[str, str]]

PARENT = "traceparent"
STATE = "tracestate"

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_LENGTH = 55
_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_MEMBER = re.compile(_KEY + r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MOST_MEMBERS = 32
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The trace and the caller's span of it, in hexadecimal, and what is to be passed on with them."""

    trace_id: str
    parent_id: str
    sampled: bool
    parent: str
    state: str = ""

    def headers(self) -> Pairs:
        """For the next one."""
        return [(PARENT, self.parent), *([(STATE, self.state)] if self.state else [])]


def made(trace_id: str, span_id: str, flags: int, state: str) -> TraceContext:
    """The context of a span of our own."""
    return TraceContext(
        trace_id, span_id, bool(flags & _SAMPLED), f"00-{trace_id}-{span_id}-{flags:02x}", state
    )


def context_of(headers: HTTPHeaders) -> TraceContext | None:
    """The context that a request came with; None without a valid one.

    >>> told = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    >>> context_of(HTTPHeaders({"Traceparent": told})).trace_id
    '0af7651916cd43dd8448eb211c80319c'
    """
    told = headers.get("Traceparent")
    return None if told is None else _parsed(told.strip(" \t"), headers.get("Tracestate", ""))


def _parsed(parent: str, state: str) -> TraceContext | None:
    match = _PARENT.fullmatch(parent)
    if match is None:
        return None
    version, trace_id, parent_id, flags = match.groups()
    # What a later version adds behind is its own business; this one has nothing there.
    if version == "ff" or (version == "00" and len(parent) != _LENGTH):
        return None
    if not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED), parent, _valid_state(state))


def _valid_state(state: str) -> str:
    """The list as it came; empty when it is none. That says nothing against the parent."""
    members = [member for part in state.split(",") if (member := part.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if not 0 < len(members) <= _MOST_MEMBERS or len(keys) < len(members):
        return ""
    return state if all(map(_MEMBER.fullmatch, members)) else ""


def passed_on(headers: Pairs, context: TraceContext | None) -> Pairs:
    """Headers for QGIS and its plugins, with this context in the place of what the client said."""
    others = [(name, value) for name, value in headers if name.lower() not in (PARENT, STATE)]
    return others + (context.headers() if context is not None else [])
