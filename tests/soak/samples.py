# SPDX-License-Identifier: GPL-2.0-or-later
"""What of an instance must not grow, measured from outside."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from tests.integration.instance import Instance

# How much each may rise over a whole run before it counts as growing.
TOLERANCES = {"MiB": 4.0, "descriptors": 8.0, "threads": 2.0, "files": 2.0, "processes": 1.0}
_LONG_LIVING = ("master", "dispatcher", "http", "template")
_KIB_IN_MIB = 1024


class Measured:
    """Rows of (seconds, value), by what was measured; the unit is the last word of the name."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._processes = {role: self._find(role) for role in _LONG_LIVING}
        self.rows: dict[str, list[tuple[float, float]]] = {}

    def _find(self, role: str) -> psutil.Process:
        if role == "master":
            return psutil.Process(self._instance.pid)
        return self._instance.child(role)

    def take(self, at: float) -> None:
        """Measure everything once. psutil.NoSuchProcess when a long-living process is gone: none may be."""
        for role, process in self._processes.items():
            self._add(at, f"{role} MiB", _memory(process, role))
            self._add(at, f"{role} descriptors", process.num_fds())
            self._add(at, f"{role} threads", process.num_threads())
        run = self._instance.folder / "q.run"
        self._add(at, "temporary folders, files", len(list((run / "tmp").iterdir())))
        self._add(at, "sockets and others beside the pidfile, files", len(list(run.iterdir())))
        self._add(at, "shared memory, files", _shared_memory(self._processes["master"]))
        self._add(at, "family, processes", len(self._instance.family()))

    def _add(self, at: float, name: str, value: float) -> None:
        self.rows.setdefault(name, []).append((at, value))


def _memory(process: psutil.Process, role: str) -> float:
    """PSS; of the template what is its own, since its share depends on how many workers there are."""
    if role == "template":
        text, wanted = Path(f"/proc/{process.pid}/status").read_text(), "RssAnon"
    else:
        text, wanted = Path(f"/proc/{process.pid}/smaps_rollup").read_text(), "Pss"
    match = re.search(rf"^{wanted}:\s+(\d+) kB", text, re.MULTILINE)
    assert match, text
    return int(match[1]) / _KIB_IN_MIB


def _shared_memory(master: psutil.Process) -> int:
    """Anonymous memory files of the master, and named ones that belong to qgsd."""
    folder = Path(f"/proc/{master.pid}/fd")
    anonymous = sum("memfd:" in os.readlink(link) for link in folder.iterdir() if link.is_symlink())
    return anonymous + len(list(Path("/dev/shm").glob("*qgsd*")))
