# SPDX-License-Identifier: GPL-2.0-or-later
"""The registry of children: the master's record of each, and the questions it asks of them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from qgsd.channel import MasterEnd
from qgsd.control.records import ChildState
from qgsd.master.backoff import Record
from qgsd.master.snapshot import ChildView, Phase, Role, Slot, Vitals
from qgsd.master.vitals import Sample
from qgsd.scoreboard import Row, Scoreboard, State

_COUNTERS = (
    "requests", "errors", "timeouts", "retries", "coalesced", "cache_hits", "tiles_cut",
    "project_hits", "project_loads", "project_load_ms", "project_evictions",
    "worker_ms", "busy_ms",
)  # fmt: skip


@dataclass(eq=False)
class ChildRecord:
    """One child. `pid` is None for a worker that the template has not forked yet; `key` is its row.

    `back`: where a worker has been told to find its dispatcher.
    """

    key: int
    role: Role
    slot: int
    generation: int
    row: Row
    channel: MasterEnd
    started_at: float
    log_pipe: int
    tmpdir: Path | None = None
    pid: int | None = None
    pidfd: int | None = None
    process: subprocess.Popen[bytes] | None = None
    ready_at: float | None = None
    drained_at: float | None = None
    killed_at: float = 0.0
    kill_cause: str = ""
    retiring: str = ""
    retire_cause: str = ""
    drain_reason: str = ""
    reserve: bool = False
    back: list[str] = field(default_factory=list)
    vitals: Vitals = field(default_factory=Vitals)
    sample: Sample | None = None
    kill_reason: str = ""
    info: dict[str, str] = field(default_factory=dict)
    log: asyncio.Task[None] | None = None
    last_error: str = ""

    def heard(self, level: int, text: str) -> None:
        """A line of its log; the last error may be why it ends."""
        if level >= logging.ERROR:
            self.last_error = text

    @property
    def name(self) -> str:
        """What people call it: `worker 3`."""
        return f"{self.role} {self.slot}" if self.role in ("worker", "http") else self.role

    @property
    def phase(self) -> Phase:
        if self.drained_at is not None:
            return "draining"
        return "starting" if self.ready_at is None else "ready"

    @property
    def has_drained(self) -> bool:
        """It was asked to go, or has gone of its own accord."""
        return self.drained_at is not None or self.row.state == State.DRAINING

    @property
    def state(self) -> ChildState:
        """What `ps` shows."""
        if self.phase != "ready":
            return "draining" if self.phase == "draining" else "starting"
        return "busy" if self.row.state == State.BUSY else "idle"

    def view(self) -> ChildView:
        """The child as the policy sees it."""
        return ChildView(
            key=self.key,
            role=self.role,
            slot=self.slot,
            generation=self.generation,
            phase=self.phase,
            started_at=self.started_at,
            ready_at=self.ready_at or 0.0,
            drained_at=self.drained_at or 0.0,
            deadline=self.row.deadline if self.role == "worker" else 0.0,
            killed_at=self.killed_at,
            busy=self.row.state == State.BUSY,
            retiring=self.retiring,
            vitals=replace(self.vitals, beat_at=self.row.beat, requests=self.row.requests),
        )

    def kill(self) -> None:
        """SIGKILL, through the pidfd so that it can only hit this process."""
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return

    def collect(self) -> int | None:
        """The exit status of the ended process, negative for a signal; None when it is unknown."""
        if self.process is not None:
            return self.process.wait()
        if self.pid is None:
            return None
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status)


class Children:
    """All children of the master, and what remains of those that have gone: counters, slots at rest."""

    def __init__(self, board: Scoreboard) -> None:
        self.board = board
        self._records: dict[int, ChildRecord] = {}
        self._next_row = 1
        self._past: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self.resting: dict[Slot, float] = {}
        self.failures: dict[Slot, Record] = {}

    def __iter__(self) -> Iterator[ChildRecord]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def free_row(self) -> int:
        """The number of a cleared row: the one unused longest, so that a late reader sees an empty one."""
        for _ in range(self.board.last_row):
            number = self._next_row
            self._next_row = number % self.board.last_row + 1
            if number not in self._records:
                self.board.row(number).clear()
                return number
        raise RuntimeError("the scoreboard is full")

    def add(self, record: ChildRecord) -> None:
        self._records[record.key] = record

    def remove(self, record: ChildRecord) -> None:
        """Forget a child that has ended; what it counted stays counted."""
        del self._records[record.key]
        for counter in _COUNTERS:
            if self._counts(record.role, counter):
                self._past[counter] += getattr(record.row, counter)

    def get(self, key: int) -> ChildRecord | None:
        return self._records.get(key)

    def of(self, role: Role) -> list[ChildRecord]:
        return [record for record in self if record.role == role]

    def ready(self, role: Role) -> list[ChildRecord]:
        return [record for record in self if record.role == role and record.phase == "ready"]

    def template_for_fork(self) -> ChildRecord | None:
        """The youngest template that can fork now."""
        return max(self.ready("template"), key=lambda record: record.generation, default=None)

    def pids(self) -> set[int]:
        return {record.pid for record in self if record.pid is not None}

    def total(self, counter: str) -> int:
        """The sum of a counter over all children that ever were."""
        living: int = sum(
            getattr(record.row, counter) for record in self if self._counts(record.role, counter)
        )
        return self._past[counter] + living

    @staticmethod
    def _counts(role: Role, counter: str) -> bool:
        """Each thing is counted where the client sees it, or where it is decided, once."""
        return role == ("http" if counter in ("requests", "errors", "cache_hits") else "dispatcher")
