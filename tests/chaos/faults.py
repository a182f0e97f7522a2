# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of faults, and those that kill, stop and hold up processes."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

from tests.chaos import clock, replacing, resources
from tests.chaos.fault import Fault, Strike, Target
from tests.integration.instance import ows_path
from tests.waiting import wait_for

_SLOW_CLIENTS = 8
_SLOW_ANSWER = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="4000")


def kill(*titles: str) -> Strike:
    def strike(target: Target) -> None:
        for title in titles:
            if found := target.children(title):
                with contextlib.suppress(psutil.NoSuchProcess):
                    target.random.choice(found).send_signal(signal.SIGKILL)

    return strike


def stop_worker(target: Target) -> None:
    """Once: a worker that is never continued."""
    if target.struck == 0 and (found := target.children("worker")):
        os.kill(target.random.choice(found).pid, signal.SIGSTOP)


def crash_in_render(target: Target) -> None:
    """Another request each time, so that none is in quarantine already."""
    value = str(target.random.random())
    answer = target.instance.get(ows_path(SERVICE="PROBE", REQUEST="abort", VALUE=value))
    assert answer.status == 500, answer.text


def leak(target: Target) -> None:
    answer = target.instance.get(ows_path(SERVICE="PROBE", REQUEST="hog", VALUE="50"))
    assert answer.status == 200, answer.text


def begin_reading_slowly(target: Target) -> None:
    """Eight clients of forty megabytes each, all of which QGIS has written.

    Writing them takes the workers a second, whoever reads them. That is not the fault, so it comes first.
    """
    clients = [target.connect(_SLOW_ANSWER) for _ in range(_SLOW_CLIENTS)]
    for client in clients:
        assert client.recv(1024).startswith(b"HTTP/1.1 200")
    wait_for("all answers are written", lambda: not target.instance.ctl_json("status")["workers"]["busy"], 60)


def read_slowly(target: Target) -> None:
    """A kilobyte each. With so small a window the kernel may send nothing for many seconds."""
    for client in target.sockets:
        with contextlib.suppress(BlockingIOError):
            client.setblocking(False)
            assert client.recv(1024), "the server has closed the connection of a slow reader"


def ask_hung_project(target: Target) -> None:
    """A request for the project whose database says nothing; nobody waits for its answer."""
    target.connect(ows_path("hung", SERVICE="WMS", REQUEST="GetCapabilities", NUMBER=str(target.struck)))


FAULTS = [
    Fault("SIGKILL a worker every second", 1.0, kill("worker")),
    Fault("SIGABRT inside a render every 3 s", 3.0, crash_in_render),
    Fault("SIGKILL the dispatcher every 5 s", 5.0, kill("dispatcher")),
    Fault("SIGKILL template and a worker every 5 s", 5.0, kill("template", "worker")),
    Fault("SIGSTOP a worker", 1.0, stop_worker, ("server.timeout=5",), excused=1),
    Fault("a worker leaks 50 MB a request", 0.5, leak, ("supervision.memory_limit=400M",)),
    Fault("8 clients read 1 KB/s of 40 MB", 1.0, read_slowly, prepare=begin_reading_slowly, slower=0.05),
    Fault("a project's database says nothing", 0.5, ask_hung_project, ("server.timeout=3",)),
    Fault(
        "TMPDIR is full",
        0.5,
        resources.fill_disk,
        prepare=resources.zip_project,
        around=resources.small_disk,
        missing=resources.cannot_mount,
    ),
    Fault("a worker leaks descriptors", 0.5, resources.leak_descriptors),
    Fault("more connections than descriptors", 0.5, resources.take_connections),
    Fault("the clock jumps", 0.5, clock.jump, around=clock.false_clock, missing=clock.cannot_be_false),
    Fault(
        "a project is deleted and replaced",
        0.2,
        replacing.replace,
        # Both workers for the one project, so that both have it open before it is touched.
        ("cache.check_interval=0", "supervision.project_workers=2"),
        prepare=replacing.watch,
    ),
]
