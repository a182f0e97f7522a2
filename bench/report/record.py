# SPDX-License-Identifier: GPL-2.0-or-later
"""All that was measured, and the medians of it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.servers.in_process import InProcess, InProcessBound
from bench.servers.qgsd import Qgsd, QgsdCompact
from bench.workloads.base import Alone, Figure, Measured, Workload

OURS = Qgsd.name
VARIANT = QgsdCompact.name


@dataclass
class Row:
    """One figure of one workload: the values of each server, a value a round."""

    workload: str
    title: str
    figure: Figure
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def median(self, server: str) -> float | None:
        values = self.values.get(server)
        return statistics.median(values) if values else None

    def ratio(self, server: str, other: str) -> float | None:
        """The median over rounds of how much better `server` is than `other` (2.0: twice as good)."""
        pairs = list(zip(self.values.get(server, ()), self.values.get(other, ()), strict=False))
        ratios = [a / b if self.figure.more else b / a for a, b in pairs if a and b]
        return statistics.median(ratios) if ratios else None


class Record:
    """Rows in the order of the workloads."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.failed: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.lacking: dict[tuple[str, str], str] = {}

    def add(self, workload: Workload | Alone[Any], server: str, measured: Measured) -> None:
        for figure in workload.figures:
            row = self.rows.setdefault((workload.key, figure.key), Row(workload.key, workload.title, figure))
            if figure.key in measured.figures:
                row.values[server].append(measured.figures[figure.key])
        counts = self.failed[workload.key, server]
        counts[0] += measured.failed
        counts[1] += measured.answers
        self.wrong[workload.key, server] += measured.wrong
        if measured.lacking:
            self.lacking[workload.key, server] = measured.lacking

    def servers(self) -> list[str]:
        found: dict[str, None] = {}
        for row in self.rows.values():
            found |= dict.fromkeys(row.values)
        return list(found)

    def rivals(self) -> list[str]:
        """The servers that are not ours."""
        others = (OURS, VARIANT, InProcess.name, InProcessBound.name)
        return [name for name in self.servers() if name not in others]

    def as_json(self) -> dict[str, Any]:
        """Everything, for machines. Ratios are qgsd's to each of the others; more than 1: it is ahead."""
        return {
            "machine": machine(),
            "figures": [self._figure(row) for row in self.rows.values()],
            "answers": [
                {"workload": workload, "server": server, "failed": failed, "answers": answers,
                 "wrong": self.wrong[workload, server][:5]}
                for (workload, server), (failed, answers) in self.failed.items()
            ],
            "lacking": [
                {"workload": workload, "server": server, "why": why}
                for (workload, server), why in self.lacking.items()
            ],
        }  # fmt: skip

    @staticmethod
    def _figure(row: Row) -> dict[str, Any]:
        return {
            "workload": row.workload, "title": row.title, "figure": row.figure.key, "unit": row.figure.unit,
            "more_is_better": row.figure.more, "charted": row.figure.charted, "values": dict(row.values),
            "medians": {name: row.median(name) for name in row.values},
            "ratios": {name: row.ratio(OURS, name) for name in row.values if name != OURS},
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Record:
        """What `as_json` has told."""
        record = cls()
        for one in told["figures"]:
            figure = Figure(one["figure"], one["unit"], one["more_is_better"], one["charted"])
            row = Row(one["workload"], one["title"], figure)
            row.values.update(one["values"])
            record.rows[row.workload, figure.key] = row
        for one in told["answers"]:
            record.failed[one["workload"], one["server"]] = [one["failed"], one["answers"]]
            record.wrong[one["workload"], one["server"]] = one["wrong"]
        for one in told["lacking"]:
            record.lacking[one["workload"], one["server"]] = one["why"]
        return record


def machine() -> dict[str, str]:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    model = next(
        (row.split(":", 1)[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines()
         if row.startswith("model name")), "unknown processor",
    )  # fmt: skip
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return {
        "processor": model, "cores": str(os.cpu_count()), "memory": f"{memory:.0f} GB",
        "system": f"{release}, Linux {platform.release()}", "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
