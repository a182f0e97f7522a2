# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard: one table in shared memory, a row a child.

Each row has one writer, the child; the master reads (and clears a row before it
gives it to the next child). The table is an anonymous memory file whose descriptor
the master hands to the children, so nothing is left behind however the instance ends.

Fields are naturally aligned 4 and 8 byte values: on the machines that QGIS runs on
a reader sees the old or the new value, never half of each. Text (project, request id) can
be torn; it is for display only. Times are seconds of CLOCK_MONOTONIC, which all
processes of a machine share.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from enum import IntEnum

ROWS = 2304
_PROJECT_BYTES = 120
# The longest id that a client may give has 128 letters.
_REQUEST_BYTES = 136


class State(IntEnum):
    """What a child says of itself; FREE is a row without a child."""

    FREE = 0
    STARTING = 1
    IDLE = 2
    BUSY = 3
    DRAINING = 4


class Row(ctypes.Structure):
    """What a child writes about itself.

    `beat`: when it last showed life; `since`: when the running request began, `deadline`: when
    it must be over (0 when idle). The counters only grow. `waiting` and `workers` are the
    dispatcher's: requests in its queue, and workers that have joined it; so are the counts of projects
    (`proxy.projects.Totals`), `oldest`: when the request that has waited longest arrived (0 for none), and
    the milliseconds that workers have been there, and at work, all added up; `serial`: see `proxy.served`.
    """

    _fields_ = (
        ("state", ctypes.c_uint32),
        ("_reserved", ctypes.c_uint32),
        ("pid", ctypes.c_uint64),
        ("beat", ctypes.c_double),
        ("since", ctypes.c_double),
        ("deadline", ctypes.c_double),
        ("requests", ctypes.c_uint64),
        ("errors", ctypes.c_uint64),
        ("timeouts", ctypes.c_uint64),
        ("retries", ctypes.c_uint64),
        ("coalesced", ctypes.c_uint64),
        ("cache_hits", ctypes.c_uint64),
        ("tiles_cut", ctypes.c_uint64),
        ("waiting", ctypes.c_uint64),
        ("workers", ctypes.c_uint64),
        ("serial", ctypes.c_uint64),
        ("project_hits", ctypes.c_uint64),
        ("project_loads", ctypes.c_uint64),
        ("project_load_ms", ctypes.c_uint64),
        ("project_evictions", ctypes.c_uint64),
        ("worker_ms", ctypes.c_uint64),
        ("busy_ms", ctypes.c_uint64),
        ("oldest", ctypes.c_double),
        ("_project", ctypes.c_char * _PROJECT_BYTES),
        ("_request", ctypes.c_char * _REQUEST_BYTES),
    )

    state: int
    pid: int
    beat: float
    since: float
    deadline: float
    requests: int
    errors: int
    timeouts: int
    retries: int
    coalesced: int
    cache_hits: int
    tiles_cut: int
    waiting: int
    workers: int
    serial: int
    project_hits: int
    worker_ms: int
    busy_ms: int
    oldest: float
    project_loads: int
    project_load_ms: int
    project_evictions: int
    _project: bytes
    _request: bytes

    @property
    def project(self) -> str:
        """The project last worked on, cut to what fits."""
        return self._project.decode("utf-8", "replace")

    @project.setter
    def project(self, name: str) -> None:
        # For display only: it must never be the reason why a request fails.
        raw = name.encode("utf-8", "replace")
        if len(raw) >= _PROJECT_BYTES:
            # A cut through a character would show as a replacement sign.
            raw = raw[: _PROJECT_BYTES - 1].decode("utf-8", "ignore").encode("utf-8")
        self._project = raw

    @property
    def request(self) -> str:
        """The id of the request that is being served; empty where none is."""
        return self._request.decode("ascii", "replace") if self.deadline else ""

    @request.setter
    def request(self, id: str) -> None:
        self._request = id.encode("ascii", "replace")[: _REQUEST_BYTES - 1]

    def clear(self) -> None:
        """Make the row ready for its next child."""
        ctypes.memset(ctypes.addressof(self), 0, ctypes.sizeof(self))


class Scoreboard:
    """The whole table; row 0 is the master's own."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, ctypes.sizeof(Row) * ROWS)
        self._rows = (Row * ROWS).from_buffer(self._memory)

    @classmethod
    def create(cls) -> Scoreboard:
        """A new, empty table. OSError when memory is short."""
        descriptor = os.memfd_create("qgsd-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, ctypes.sizeof(Row) * ROWS)
        return cls(descriptor)

    def row(self, number: int) -> Row:
        """IndexError outside the table."""
        if number < 0:
            raise IndexError(f"there is no row {number}")
        row: Row = self._rows[number]
        return row

    @property
    def last_row(self) -> int:
        return ROWS - 1

    @property
    def master(self) -> Row:
        return self.row(0)
