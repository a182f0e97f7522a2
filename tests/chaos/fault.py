# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fault is: something that happens to an installation again and again, with a seed to repeat it."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.integration.instance import Instance

Strike = Callable[["Target"], None]


@dataclass
class Place:
    """Where and in which environment the instance runs."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Target:
    """What a fault may act on. `stack` is left when the fault is over."""

    instance: Instance
    random: random.Random
    projects: Path
    place: Place
    stack: contextlib.ExitStack
    struck: int = 0
    # What a fault has measured before it struck, to compare with.
    before: dict[str, int] = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)

    def children(self, title: str) -> list[psutil.Process]:
        """By process title, because asking the master would be a load of its own."""
        found = []
        for process in self.instance.family():
            with contextlib.suppress(psutil.Error):
                if process.cmdline() and process.cmdline()[0].startswith(f"qgsd: {title}"):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def connect(self, request: str = "") -> socket.socket:
        """A client of the fault's own with a small window; it is closed with the fault."""
        client = socket.socket()
        # Before connecting: the window is agreed on then.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", self.instance.port))
        self.stack.callback(client.close)
        self.sockets.append(client)
        if request:
            client.sendall(f"GET {request} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client


def nothing(_: Target) -> None:
    """For faults that need no preparation."""


def always_possible() -> str:
    return ""


@contextlib.contextmanager
def anywhere(folder: Path) -> Iterator[Place]:
    yield Place(folder / "i")


@dataclass(frozen=True)
class Fault:
    """`every` seconds `strike` is called, after `prepare` has been called once.

    `settings` are the instance's; `around` makes its surroundings; `excused` is how many failures may be
    seen, `slower` by how many seconds answers may be slower than without the fault, where that is bounded;
    `missing` says why the fault is not possible here.
    """

    name: str
    every: float
    strike: Strike
    settings: tuple[str, ...] = ()
    excused: int = 0
    slower: float = float("inf")
    prepare: Strike = nothing
    around: Callable[[Path], AbstractContextManager[Place]] = anywhere
    missing: Callable[[], str] = always_possible
