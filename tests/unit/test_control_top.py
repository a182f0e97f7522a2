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
)
from qgsd.control.top import View
from tests.unit.test_control_support import PATIENCE, Served, serving

ROOT = Path(__file__).parents[2]


def look(requests: int, waiting: int) -> Snapshot:
    status = Status(
        "running", "1", "3.22", 1, 5.0, [], WorkerCounts(2, 2, 1, 0), QueueStatus(waiting, 10),
        Counters(requests=requests), 1, "qgsd",
    )  # fmt: skip
    slow = ProcessRecord("worker", 0, 10, "busy", 1.0, 5, 1, 9 << 20, 1.0, "town", 1, request_age=7.5)
    quick = ProcessRecord("worker", 1, 11, "idle", 1.0, 9, 1, 5 << 20, 80.0, None, 1)
    return Snapshot(status, [slow, quick], [QueueRecord("town", waiting, 1, 2.0)])


def text_of(view: View, snapshot: Snapshot) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view.show(snapshot))
    return capture.get()


def order(text: str) -> list[str]:
    return re.findall(r"(?m)^worker (\d)", text)


def test_rates_are_those_between_two_looks() -> None:
    view = View()
    for second, requests in enumerate((100, 120, 120, 160)):
        view.add(look(requests, second), 2.0 * second)
    shown = text_of(view, look(160, 3))
    assert re.search(r"per second +20\.0 +▅▁█", shown), shown
    assert re.search(r"waiting +3 ", shown)
    assert "7.5s" in shown
    # A new master counts from the beginning.
    view.add(look(5, 0), 8.0)
    assert "per second  0.0" in text_of(view, look(5, 0))


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
        os.write(leader, b"k1")
        read_until(b"kill slot or pid: 1")
        os.write(leader, b"\n")
        read_until(b"1 is killed and will be replaced")
        os.write(leader, b"k7\r")
        read_until(b"no worker in slot 7")
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
