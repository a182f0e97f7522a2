# SPDX-License-Identifier: GPL-2.0-or-later
"""What http children count for the metrics, and the files in which they do it.

prometheus-client's multiprocess mode: each process writes its values into files of its own by mmap, which
outlive it; whoever is scraped adds them up. The files of processes that have gone are folded into one, so
that neither their number grows nor a counter ever falls.

A file is named by the pid and the time its process started (in ticks since boot), so that one knows, also
when pids come again, whether its writer still lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PHASES = ("queue", "load", "render")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True)
class Declared:
    """A metric as people and Prometheus know it; counters end in `_total`, times are seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: tuple[str, ...] = ()


REQUESTS = Declared(
    "qgsd_requests_total",
    "counter",
    "Answers to clients. Projects beyond [management] metric_projects, and those that were never answered "
    "by QGIS, are `other`.",
    ("project", "service", "request", "status"),
)
REQUEST_SECONDS = Declared(
    "qgsd_request_duration_seconds",
    "histogram",
    "Time from a request's arrival to the end of its answer, the client's reading included.",
    ("service", "request"),
)
QUEUE_SECONDS = Declared(
    "qgsd_queue_duration_seconds",
    "histogram",
    "Time a request that QGIS answered waited for a worker.",
    ("service", "request"),
)
LOAD_SECONDS = Declared(
    "qgsd_load_duration_seconds",
    "histogram",
    "Time a request that QGIS answered took to load its project; 0 where it was open.",
    ("service", "request"),
)
RENDER_SECONDS = Declared(
    "qgsd_render_duration_seconds",
    "histogram",
    "Time QGIS worked on a request, until the first piece of its answer.",
    ("service", "request"),
)
PROJECT_SECONDS = Declared(
    "qgsd_project_seconds_total",
    "counter",
    "Seconds that requests for a project have spent in each phase: queue, load, render.",
    ("project", "phase"),
)
WRITTEN = (REQUESTS, REQUEST_SECONDS, QUEUE_SECONDS, LOAD_SECONDS, RENDER_SECONDS, PROJECT_SECONDS)

_KINDS = ("counter", "histogram")
# More than all labels within their bounds can fill: a file that had to grow on a full disk would end the
# process by SIGBUS.
_FILE_SIZE = 1 << 20


# Writing.


def prepare_files(folder: Path) -> None:
    """Have this process write into files of its own in `folder`. To be called before prometheus_client is
    imported. OSError when there is no room for them."""
    identity = _identity(os.getpid())
    for kind in _KINDS:
        with (folder / f"{kind}_{identity}.db").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _FILE_SIZE)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: identity)  # type: ignore[no-untyped-call]


def _identity(pid: int) -> str:
    """`PID-TICKS`. OSError for a process that does not exist."""
    # The command before it may have blanks and parentheses in it (proc_pid_stat(5)).
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return f"{pid}-{fields[19]}"


# Reading.


@contextlib.contextmanager
def settled(folder: Path) -> Iterator[list[str]]:
    """The files to add up, those of the dead folded into one; nobody else folds meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for kind in _KINDS:
            _finish(folder, kind)
            _fold(folder, kind)
        yield [str(path) for path in sorted(folder.glob("*.db"))]
    finally:
        os.close(descriptor)


def _fold(folder: Path, kind: str) -> None:
    """Add the files of dead processes to the one of the past.

    A journal says what the new file of the past has in it, for a reader that dies half way.
    """
    dead = [path for path in folder.glob(f"{kind}_*-*.db") if not _is_alive(path)]
    if not dead:
        return
    from prometheus_client.mmap_dict import MmapedDict

    past, new = folder / f"{kind}_past.db", folder / f"{kind}_past.new"
    new.unlink(missing_ok=True)
    sums: dict[str, float] = defaultdict(float)
    for path in [*([past] if past.exists() else []), *dead]:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            sums[key] += value
    written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    (folder / f"{kind}.journal").write_text(json.dumps([path.name for path in dead]))
    new.rename(past)
    _finish(folder, kind)


def _finish(folder: Path, kind: str) -> None:
    """Do what a journal promises: files that are in the past go. Before the rename it promises nothing."""
    journal, new = folder / f"{kind}.journal", folder / f"{kind}_past.new"
    if not journal.exists():
        return
    if not new.exists():
        with contextlib.suppress(ValueError):
            for name in json.loads(journal.read_text()):
                (folder / name).unlink(missing_ok=True)
    journal.unlink()


def _is_alive(path: Path) -> bool:
    identity = path.stem.partition("_")[2]
    try:
        return _identity(int(identity.partition("-")[0])) == identity
    except (OSError, ValueError, IndexError):
        return False
