# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults as they happen to an installation, each a small object that is struck again and again.

A seeded generator chooses the victims, so that a run can be repeated.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.integration.instance import Instance, ows_path

Strike = Callable[["Target"], None]


@dataclass
class Target:
    """What a fault may act on."""

    instance: Instance
    random: random.Random
    struck: int = 0
    sockets: list[socket.socket] | None = None


@dataclass(frozen=True)
class Fault:
    """`every` seconds `strike` is called; `settings` of the instance; how many failures may be seen."""

    name: str
    every: float
    strike: Strike
    settings: tuple[str, ...] = ()
    excused: int = 0


def _children(target: Target, title: str) -> list[psutil.Process]:
    """By process title, because asking the master would be a load of its own."""
    found = []
    for process in target.instance.family():
        with contextlib.suppress(psutil.Error):
            if process.cmdline() and process.cmdline()[0].startswith(f"qgsd: {title}"):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def kill(*titles: str) -> Strike:
    def strike(target: Target) -> None:
        for title in titles:
            if found := _children(target, title):
                with contextlib.suppress(psutil.NoSuchProcess):
                    target.random.choice(found).send_signal(signal.SIGKILL)

    return strike


def stop_worker(target: Target) -> None:
    """Once: a worker that is never continued."""
    if target.struck == 0 and (found := _children(target, "worker")):
        os.kill(target.random.choice(found).pid, signal.SIGSTOP)


def crash_in_render(target: Target) -> None:
    """Another request each time, so that none is in quarantine already."""
    value = str(target.random.random())
    answer = target.instance.get(ows_path(SERVICE="PROBE", REQUEST="abort", VALUE=value))
    assert answer.status == 500, answer.text


def leak(target: Target) -> None:
    answer = target.instance.get(ows_path(SERVICE="PROBE", REQUEST="hog", VALUE="50"))
    assert answer.status == 200, answer.text


def read_slowly(target: Target) -> None:
    """Eight clients, a kilobyte a second each, of forty megabytes."""
    if target.sockets is None:
        path = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="4000")
        target.sockets = []
        for _ in range(8):
            client = socket.create_connection(("127.0.0.1", target.instance.port), timeout=10)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            target.sockets.append(client)
    for client in target.sockets:
        assert client.recv(1024)


def ask_hung_project(target: Target) -> None:
    """A request for the project whose database says nothing; nobody waits for its answer."""
    client = socket.create_connection(("127.0.0.1", target.instance.port), timeout=10)
    path = ows_path("hung", SERVICE="WMS", REQUEST="GetCapabilities", NUMBER=str(target.struck))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    target.sockets = [*(target.sockets or []), client]


FAULTS = [
    Fault("SIGKILL a worker every second", 1.0, kill("worker")),
    Fault("SIGABRT inside a render every 3 s", 3.0, crash_in_render),
    Fault("SIGKILL the dispatcher every 5 s", 5.0, kill("dispatcher")),
    Fault("SIGKILL template and a worker every 5 s", 5.0, kill("template", "worker")),
    Fault("SIGSTOP a worker", 1.0, stop_worker, ("server.timeout=5",), excused=1),
    Fault("a worker leaks 50 MB a request", 0.5, leak, ("supervision.memory_limit=400M",)),
    Fault("8 clients read 1 KB/s of 40 MB", 1.0, read_slowly),
    Fault("a project's database says nothing", 0.5, ask_hung_project, ("server.timeout=3",)),
]
