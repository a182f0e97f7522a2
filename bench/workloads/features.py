# SPDX-License-Identifier: GPL-2.0-or-later
"""A large answer: when does it begin, when does it end, and what does it cost in memory?"""

from __future__ import annotations

import statistics
from pathlib import Path

import psutil

from bench.load import Load, Request, Stream
from bench.servers.in_process import InProcess
from bench.workloads.base import AnyServer, Figure, Measured, Workload, cpu_seconds

_MB = 1 << 20
_SLOW = 8.0


class LargeAnswer(Workload):
    """One client asks for it, some times over. `growth`: the most that a process grew by in megabytes."""

    figures = (
        Figure("total", "s", more=False), Figure("first_byte", "ms", more=False),
        Figure("growth", "MB", more=False), Figure("cpu", "s", more=False, charted=False),
    )  # fmt: skip
    times = 2
    patience = 120.0

    def __init__(self, key: str, title: str, request: Request) -> None:
        self.key, self.title, self.request = key, title, request
        # Of servers that take very long for it one answer has to do.
        self.slow: set[str] = set()

    def prepare(self, limit: InProcess) -> None:
        self.stream = Stream(limit.with_expected([self.request]), 1)

    def measure(self, server: AnyServer, pace: float) -> Measured:
        if server.name in self.slow:
            return Measured()
        # Once beforehand: what a process takes for good is not what an answer costs.
        before, cpu = _start_watch(server), cpu_seconds(server)
        (result,) = server.run(Load((self.stream,), self.patience, 1))
        if result.took > _SLOW:
            self.slow.add(server.name)
        else:
            before, cpu = _start_watch(server), cpu_seconds(server)
            (result,) = server.run(Load((self.stream,), self.patience, self.times))
        measured = Measured({"total": result.median, "growth": _growth(before)})
        if result.answers:
            measured.figures["cpu"] = (cpu_seconds(server) - cpu) / result.answers
        if result.first_byte:
            measured.figures["first_byte"] = 1000 * statistics.median(result.first_byte)
        measured.count([result])
        return measured


def _start_watch(server: AnyServer) -> dict[psutil.Process, int]:
    """Resident bytes of each process now; the kernel's record of the peak begins anew."""
    before = {}
    for member in server.family():
        try:
            Path(f"/proc/{member.pid}/clear_refs").write_text("5")
            before[member] = member.memory_info().rss
        except (OSError, psutil.Error):
            continue
    return before


def _growth(before: dict[psutil.Process, int]) -> float:
    grown = [0.0]
    for member, rss in before.items():
        try:
            status = Path(f"/proc/{member.pid}/status").read_text()
        except OSError:
            continue
        peak = next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith("VmHWM:"))
        grown.append((peak - rss) / _MB)
    return max(grown)
