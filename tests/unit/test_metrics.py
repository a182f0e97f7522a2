# SPDX-License-Identifier: GPL-2.0-or-later
"""What is counted, how it is labelled, and that no count is lost or doubled when its writer has gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.multiprocess import MultiProcessCollector

from qgsd import metrics
from qgsd.admin.exposition import told
from qgsd.admin.figures import FIGURES, Names, Seen
from qgsd.admin.saturation import Look, Saturation
from qgsd.proxy.http.labels import LabelBook, Labels
from qgsd.proxy.queue_view import WorkerClock

# A process that counts, tells that it has, and ends when it is told to.
WRITER = """
import sys
from pathlib import Path
from qgsd import metrics
metrics.prepare_files(Path(sys.argv[1]))
from prometheus_client import Counter, Histogram
counter = Counter("c_total", "help", ("project",), registry=None).labels("town")
seconds = Histogram("h_seconds", "help", ("service",), buckets=metrics.BUCKETS, registry=None).labels("WMS")
for _ in range(int(sys.argv[2])):
    counter.inc()
    seconds.observe(0.3)
print("done", flush=True)
sys.stdin.read()
"""


class Writer:
    def __init__(self, folder: Path, count: int) -> None:
        line = [sys.executable, "-c", WRITER, str(folder), str(count)]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"done\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def totals(folder: Path) -> dict[str, float]:
    with metrics.settled(folder) as files:
        merged = list(MultiProcessCollector.merge(files))
    return {sample.name: sample.value for metric in merged for sample in metric.samples}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.timeout(60)
def test_counts_outlive_who_counted(tmp_path: Path) -> None:
    writers = [Writer(tmp_path, count) for count in (3, 4)]
    assert len(files(tmp_path)) == 4
    assert totals(tmp_path)["c_total"] == 7
    writers[0].kill()
    assert totals(tmp_path)["c_total"] == 7
    assert files(tmp_path)[-1] == "histogram_past.db"
    assert len(files(tmp_path)) == 4
    writers[1].kill()
    for _ in range(2):
        seen = totals(tmp_path)
        assert (seen["c_total"], seen["h_seconds_count"]) == (7, 7)
        assert seen["h_seconds_sum"] == pytest.approx(2.1)
        assert files(tmp_path) == ["counter_past.db", "histogram_past.db"]


class Died(Exception):
    """Stands for the end of the reading process."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("at", ["rename", "unlink"])
def test_a_reader_that_dies_half_way_loses_and_doubles_nothing(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the new file of the past is in place, and after it, with the folded ones still there."""
    Writer(tmp_path, 5).kill()
    real = getattr(Path, at)

    def dies(path: Path, *args: Any, **options: Any) -> Any:
        if at == "rename" or "-" in path.stem:
            raise Died
        return real(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, at, dies)
        for _ in range(2):
            with pytest.raises(Died), metrics.settled(tmp_path):
                pass
    assert totals(tmp_path)["c_total"] == 5
    assert files(tmp_path) == ["counter_past.db", "histogram_past.db"]


def test_labels_are_bounded_whatever_is_asked() -> None:
    book = LabelBook()
    asked = [("town", "WMS", "GetMap", 200, True)]
    asked += [(f"p{number}", f"S{number}", f"R{number}", 404, False) for number in range(5000)]
    asked += [(f"q{number}", "wfs", "getfeature", 200 + number % 300, True) for number in range(5000)]
    given = {book.of(p, s, o, status, answered=known, most=10) for p, s, o, status, known in asked}
    assert Labels("town", "WMS", "GetMap", "200") in given
    assert Labels("other", "other", "other", "404") in given
    assert len({labels.project for labels in given}) == 11
    assert {labels.service for labels in given} == {"WMS", "WFS", "other"}
    assert len({labels for labels in given if labels.service == "WFS"}) <= 2000


def test_a_name_that_nobody_has_answered_to_is_no_label() -> None:
    book = LabelBook()
    assert book.of("no", "WMS", "GetMap", 404, answered=False, most=5).project == "other"
    assert book.of("town", "WMS", "GetMap", 200, answered=True, most=5).project == "town"
    assert book.of("town", "WMS", "GetMap", 504, answered=False, most=5).project == "town"
    assert book.of("", "", "", 200, answered=False, most=5) == Labels("none", "none", "none", "200")


def test_saturation_of_what_was_seen() -> None:
    saturation = Saturation(window=10)
    assert saturation.value == 0
    for second in range(21):
        # Two workers, one of them at work; from the tenth second on both, and four requests wait.
        busy = second if second <= 10 else 10 + 2 * (second - 10)
        saturation.add(Look(second, 2.0 * second, busy, 2, 4 if second > 10 else 0))
        if second == 10:
            assert saturation.used == pytest.approx(0.5)
            assert saturation.pressure == 0
    assert saturation.used == pytest.approx(1.0)
    assert 1.8 < saturation.pressure <= 2.0
    saturation.add(Look(21, 0.5, 0.1, 2, 0))
    assert saturation.value == 0, "a new master counts anew"


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_workers_are_never_more_at_work_than_there(steps: list[tuple[float, int, int]]) -> None:
    clock, now = WorkerClock(0.0), 0.0
    for pause, at_work, idle in steps:
        now += pause
        clock.now_at_work(at_work, at_work + idle, now)
        assert 0 <= clock.busy <= clock.total + 1e-6
    assert clock.total <= 18 * now + 1e-6


def test_what_is_of_the_queue_is_told_where_the_queue_is() -> None:
    counters: dict[str, int] = {}
    status = {
        "version": "1", "qgis_version": "", "instance": "q", "uptime": 1.0, "state": "running", "ends": [],
        "counters": counters, "worker_time": {"total": 0, "busy": 0, "joined": 0}, "oldest": 0.0,
        "workers": {"target": 2}, "queue": {"waiting": 0, "max": 9},
    }  # fmt: skip
    everything = {metric.name for metric in told(Seen(status, []))}
    here = {metric.name for metric in told(Seen(status, [], has_queue=False))}
    assert {"qgsd_workers", "qgsd_workers_wanted", "qgsd_ready"} <= here
    assert {"qgsd_saturation", "qgsd_queue_length", "qgsd_workers_joined"} <= everything - here


def test_projects_beyond_the_bound_are_told_together() -> None:
    names = Names()
    named = names.choose(iter(["a", "b", "c"]), 2)
    assert named == names.choose(iter(["c", "d"]), 2) == {"a", "b"}
    rows = [
        {"project": name, "workers": [0], "load_ms": 10.0 * n, "memory": n, "loads": n, "evictions": 0,
         "hits": n, "load_seconds": n, "status": "ok"}
        for n, name in enumerate("abcd", 1)
    ]  # fmt: skip
    seen = Seen({}, [], rows, named=named)  # type: ignore[arg-type]
    told = {
        declared.name: dict(samples(seen)) for declared, samples in FIGURES if declared.labels == ("project",)
    }
    assert told["qgsd_project_loads_total"] == {("a",): 1, ("b",): 2, ("other",): 7}
    assert told["qgsd_project_memory_bytes"] == {("a",): 1, ("b",): 2, ("other",): 4}
