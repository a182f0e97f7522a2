# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgsdctl top`: the view, and the keys in a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from qgsd.control.records import (
    Counters,
    ProcessRecord,
    QueueRecord,
    QueueStatus,
    Snapshot,
    Status,
    WorkerCounts,
    WorkerTime,
)
from qgsd.control.top_view import Trend, View
from tests.unit.test_control_support import PATIENCE, Served, serving

ROOT = Path(__file__).parents[2]


def look(requests: int, waiting: int) -> Snapshot:
    status = Status(
        "running", "1", "3.22", 1, 5.0, [], WorkerCounts(2, 2, 1, 0), QueueStatus(waiting, 10),
        Counters(requests=requests), 1, "qgsd", worker_time=WorkerTime(2.0 * requests, 1.0 * requests),
    )  # fmt: skip
    slow = ProcessRecord("worker", 0, 10, "busy", 1.0, 5, 1, 9 << 20, 1.0, "town", 1, request_age=7.5)
    quick = ProcessRecord("worker", 1, 11, "idle", 1.0, 9, 1, 5 << 20, 80.0, None, 1)
    return Snapshot(status, [slow, quick], [QueueRecord("town", waiting, 1, 2.0)])


def text_of(view: View, snapshot: Snapshot, height: int | None = None) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view.show(snapshot, height=height, keys=height is not None))
    return capture.get()


def order(text: str) -> list[str]:
    return re.findall(r"(?m)^worker (\d)", text)


def test_rates_are_those_between_two_looks() -> None:
    view = View()
    for second, requests in enumerate((100, 120, 120, 160)):
        view.add(look(requests, second), 6.0 * second)
    shown = text_of(view, look(160, 3))
    assert re.search(r"answers/s +6\.7  ▅▁█", shown), shown
    assert re.search(r"waiting +3  ▁▃▆█", shown), shown
    assert re.search(r"busy +50%  ", shown), shown
    assert "7.5s" in shown
    # A new master counts from the beginning.
    view.add(look(5, 0), 24.0)
    assert re.search(r"answers/s +0\.0 ", text_of(view, look(5, 0)))


def test_a_trend_has_means_of_five_seconds_for_five_minutes() -> None:
    trend = Trend()
    for second in range(400):
        trend.add(second % 5, second)
    assert (trend.last, list(trend.means)) == (4, [2.0] * 60)


@pytest.mark.parametrize("height", [12, 24, 50])
def test_it_fits_the_screen_and_says_what_is_missing(height: int) -> None:
    view = View()
    few = look(1, 1)
    workers = [msgspec.structs.replace(few.processes[0], slot=slot) for slot in range(40)]
    lines = [QueueRecord(f"project {number}", 1, 0, 1.0) for number in range(40)]
    many = Snapshot(few.status, workers, lines)
    view.add(many, 0.0)
    view.add(many, 2.0)
    shown = text_of(view, many, height).splitlines()
    assert len(shown) <= height
    assert shown[-1].startswith("sort by")
    (missing,) = [line for line in shown if line.endswith("more processes")]
    assert int(missing.split()[2]) + len(order("\n".join(shown))) == 40
    assert any(line.endswith("more projects") for line in shown) is (height > 20)
    assert "more" not in text_of(view, few, 50)


@pytest.mark.parametrize(("key", "first"), [("s", "0"), ("c", "1"), ("m", "0"), ("r", "1"), ("a", "0")])
def test_rows_are_sorted_as_asked(key: str, first: str) -> None:
    view = View()
    view.sort = key
    assert order(text_of(view, look(1, 1)))[0] == first


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "control") as served:
        yield served


def line(served: Served) -> list[str]:
    return [sys.executable, "-m", "qgsd.control.qgsdctl", "--control", served.address, "top"]


def test_keys_in_a_terminal(served: Served) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    before = termios.tcgetattr(follower)
    options = {"stdin": follower, "stdout": follower, "stderr": follower, "cwd": ROOT}
    with subprocess.Popen(
        [*line(served), "-i", "0.2"], env={**os.environ, "TERM": "xterm"}, **options
    ) as process:  # type: ignore[call-overload]
        shown = b""

        def read_until(what: bytes) -> None:
            nonlocal shown
            while what not in shown:
                assert process.poll() is None or select.select([leader], [], [], 1)[0], shown.decode()
                shown += os.read(leader, 65536)
            shown = b""

        read_until(b"q quit")
        os.write(leader, b"k3\x7f0")
        read_until(b"kill slot or pid: 0")
        os.write(leader, b"\n")
        read_until(b"kill worker 0 (pid 4711), at a request for town for 2.5 s? y to do it")
        os.write(leader, b"n")
        read_until(b"nothing was killed")
        assert served.instance.killed == []
        os.write(leader, b"k4711\ry")
        read_until(b"worker 0 (pid 4711) is killed and will be replaced")
        assert served.instance.killed == [4711]
        os.write(leader, b"k7\r")
        read_until(b"7 is neither the slot of a worker")
        os.write(leader, b"q")
        read_until(b"\x1b[?1049l")
        assert process.wait(PATIENCE) == 0
    assert termios.tcgetattr(follower) == before
    os.close(follower)
    os.close(leader)


def test_a_pipe_is_told_once(served: Served) -> None:
    done = subprocess.run(line(served), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "town/sewers" in done.stdout
    document = subprocess.run([*line(served), "--json"], cwd=ROOT, capture_output=True, timeout=PATIENCE)
    assert msgspec.json.decode(document.stdout, type=Snapshot).queue[0].waiting == 3
