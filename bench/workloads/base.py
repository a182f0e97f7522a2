# SPDX-License-Identifier: GPL-2.0-or-later
"""What a workload is. Add one: a class here or in a module beside it, and a line in `workloads.known`."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import psutil

from bench.load import Load, Request, Result, Stream
from bench.pictures import accepted
from bench.servers.base import Server, Setting
from bench.servers.in_process import InProcess

AnyServer = Server | InProcess
_S = TypeVar("_S", bound=AnyServer)


@dataclass(frozen=True)
class Figure:
    """One number of a workload. `more`: is more of it better? `charted`: it is in the chart too."""

    key: str
    unit: str
    more: bool = True
    charted: bool = True


@dataclass
class Measured:
    """Figures by their keys, and what went wrong. `lacking`: why the server cannot do this at all."""

    figures: dict[str, float] = field(default_factory=dict)
    answers: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    lacking: str = ""

    def count(self, results: Iterable[Result]) -> None:
        for result in results:
            self.answers += result.answers
            self.failed += result.failed
            self.wrong += result.wrong


class Workload(ABC):
    """Measured on servers that run already, one after the other in each round.

    `pace` scales the seconds that are measured: 1 for `make bench`.
    """

    key: str
    title: str
    figures: tuple[Figure, ...]
    # Names of servers that it makes no sense for.
    without: frozenset[str] = frozenset()
    # Measured only where it is named (`--only`).
    on_request = False
    # Of PNG pictures, so that also servers are measured that write these in bytes of their own.
    pictures = False

    def setting(self, root: Path) -> Setting:
        """How the servers are started for it; workloads of one setting share them."""
        return Setting(root)

    @abstractmethod
    def prepare(self, limit: InProcess) -> None:
        """Have QGIS itself give the right answers."""

    @abstractmethod
    def measure(self, server: AnyServer, pace: float) -> Measured: ...


class Alone(ABC, Generic[_S]):
    """Measured by starting the server itself: start-up, memory. `rounds`: so many are enough.

    `limits`: what is measured without a server, for comparison.
    """

    key: str
    title: str
    figures: tuple[Figure, ...]
    rounds = 3
    # As with `Workload`.
    on_request = False
    pictures = False
    limits: tuple[type[InProcess], ...] = ()

    def prepare(self, folder: Path, root: Path) -> None:
        """Have QGIS itself give the right answers, where they are compared."""

    @abstractmethod
    def measure(self, kind: type[_S], folder: Path, root: Path, pace: float) -> Measured: ...


def rate_figures() -> tuple[Figure, ...]:
    """`cpu`: processor time of all processes of a server for an answer, whatever else runs on the machine."""
    return (
        Figure("rate", "1/s"),
        Figure("p99", "ms", more=False, charted=False),
        Figure("cpu", "ms", more=False, charted=False),
    )


class Throughput(Workload):
    """Different requests, asked by four clients in a closed loop: answers a second."""

    figures = rate_figures()
    connections = 4

    def __init__(
        self, key: str, title: str, requests: list[Request], seconds: float, *, pictures: bool = False
    ) -> None:
        self.key, self.title, self.requests, self.seconds = key, title, requests, seconds
        self.pictures = pictures
        self.own: dict[str, Stream] = {}

    def prepare(self, limit: InProcess) -> None:
        self.bodies: dict[str, bytes] = {}
        answers = limit.with_expected(self.requests, self.bodies if self.pictures else None)
        self.stream = Stream(answers, self.connections)

    def _stream(self, server: AnyServer) -> Stream:
        if not isinstance(server, Server) or not server.own_pictures:
            return self.stream
        if server.name not in self.own:
            answers = accepted(server, self.stream.requests, self.bodies)
            self.own[server.name] = Stream(answers, self.connections)
        return self.own[server.name]

    def measure(self, server: AnyServer, pace: float) -> Measured:
        load = Load((self._stream(server),), self.seconds * pace)
        return rate_of(server, lambda: server.run(load)[0])


class Repeated(Workload):
    """One request again and again, asked by four clients. Every answer is compared whole.

    `kept`: servers that can keep pictures are told to.
    """

    figures = rate_figures()
    connections = 4
    seconds = 1.5

    def __init__(self, key: str, title: str, request: Request, *, kept: bool = False) -> None:
        self.key, self.title, self.request, self.kept = key, title, request, kept

    def setting(self, root: Path) -> Setting:
        return Setting(root, responses=self.kept)

    def prepare(self, limit: InProcess) -> None:
        self.body = limit.body(self.request)

    def measure(self, server: AnyServer, pace: float) -> Measured:
        seconds = self.seconds * pace
        return rate_of(server, lambda: server.repeat(self.request, self.body, self.connections, seconds))


def rate_of(server: AnyServer, ask: Callable[[], Result]) -> Measured:
    """The figures of `rate_figures` for what `ask` does."""
    before = cpu_seconds(server)
    result = ask()
    cpu = cpu_seconds(server) - before
    measured = Measured({"rate": result.rate})
    if result.answers:
        measured.figures |= {"p99": 1000 * result.quantile(0.99), "cpu": 1000 * cpu / result.answers}
    measured.count([result])
    return measured


def cpu_seconds(server: AnyServer) -> float:
    """Processor time of all its processes so far."""
    total = 0.0
    for member in server.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system
    return total
