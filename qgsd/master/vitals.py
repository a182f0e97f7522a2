# SPDX-License-Identifier: GPL-2.0-or-later
"""Measuring children from outside: memory and processor time, and the memory of the whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from qgsd.master.snapshot import Memory, Vitals
from qgsd.scoreboard import Row, State

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Shares of one processor: above the one an idle child burns, below the other a busy one stands still.
_BURNING = 0.25
_STANDING = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process: processor seconds used so far, bytes of memory, and whether it is stopped."""

    at: float
    cpu: float
    memory: int
    stopped: bool = False


def sample(pid: int, now: float) -> Sample | None:
    """None when the process has gone. Memory: what is resident less pages of files (proc_pid_statm(5))."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, status = process.cpu_times(), process.status()
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (psutil.Error, OSError):
        return None
    memory = (int(resident) - int(shared)) * _PAGE
    return Sample(now, times.user + times.system, memory, status == psutil.STATUS_STOPPED)


def judge(before: Vitals, last: Sample | None, new: Sample, row: Row) -> Vitals:
    """The vitals after a new sample. Pure but for reading the row."""
    burning, stuck = 0.0, 0.0
    if last is not None and new.at > last.at:
        load = (new.cpu - last.cpu) / (new.at - last.at)
        busy = row.state == State.BUSY
        # Nothing that it ran in between either.
        if not busy and row.requests == before.requests and load > _BURNING:
            burning = before.burning_since or last.at
        # Only while it is the same request: `since` is when that began.
        if busy and load < _STANDING and row.since <= last.at:
            stuck = before.stuck_since or last.at
    stopped = (before.stopped_since or new.at) if new.stopped else 0.0
    return Vitals(new.memory, row.beat, burning, stuck, row.requests, stopped)


def memory_of_the_whole(group: Path | None = None) -> Memory:
    """The control group's memory where that is limited (cgroup v2), else the machine's."""
    group = group or _own_group()
    if group is not None and (limited := _group_memory(group)):
        return limited
    machine = psutil.virtual_memory()
    return Memory(machine.total - machine.available, machine.total)


def _own_group() -> Path | None:
    """The folder of this process's cgroup v2; None where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return Path("/sys/fs/cgroup") / paths[0].lstrip("/") if paths else None


def _group_memory(group: Path) -> Memory | None:
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    # Pages of files that the kernel can drop at any time are not in the way of anybody.
    return Memory(used - int(statistics.get("inactive_file", 0)), int(limit))
