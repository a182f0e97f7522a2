# SPDX-License-Identifier: GPL-2.0-or-later
"""More projects than workers keep open: from a cold start, and some time later."""

from __future__ import annotations

import random
import time
from pathlib import Path

from bench.load import Load, Request, Result, Stream
from bench.pictures import accepted
from bench.servers.base import Server, Setting
from bench.servers.in_process import InProcess, InProcessBound
from bench.servers.qgsd import Qgsd
from bench.workloads import requests
from bench.workloads.base import Alone, AnyServer, Figure, Measured

_MB = 1 << 20
PROJECTS = 100
_CLIENTS = 8
# So many answers from a cold start: docs/performance.md has where the number comes from.
_COLD = 750
# What comes after them.
_WARM = 200
# Seconds until all workers are there.
_SETTLED = 1.5
_PATIENCE = 120.0


class ManyProjects(Alone[AnyServer]):
    """A hundred projects, the n-th asked for 1/n as often as the first, by eight clients; four workers.

    Each worker may keep twenty of them open, where a server can be told so. `loads`: how often a project was
    loaded in both parts, where that is known. `pss`: memory of all processes in the end.
    """

    key = "many-projects"
    title = "100 projects"
    figures = (
        Figure("cold_rate", "1/s"),
        Figure("cold_p50", "ms", more=False, charted=False),
        Figure("cold_p99", "ms", more=False),
        Figure("rate", "1/s"),
        Figure("p50", "ms", more=False, charted=False),
        Figure("p99", "ms", more=False),
        Figure("loads", "times", more=False, charted=False),
        Figure("pss", "MB", more=False, charted=False),
    )
    rounds = 2
    pictures = True
    limits = (InProcessBound,)

    def prepare(self, folder: Path, root: Path) -> None:
        """QGIS's own answers: all projects have the same layers."""
        limit = InProcess(folder, Setting(root / "many"))
        limit.start(requests.tile(33, 21, "p000.qgs"))
        try:
            self._bodies: dict[str, bytes] = {}
            places = limit.with_expected(requests.maps(120, (800, 400), "p000.qgs"), self._bodies)
        finally:
            limit.stop()
        self._places = {"": places}

    def _requests(self, places: tuple[Request, ...]) -> list[Request]:
        """The same projects and places each time."""
        draw = random.Random(3)
        weights = [1 / (number + 1) for number in range(PROJECTS)]
        projects = draw.choices(range(PROJECTS), weights, k=_COLD + _WARM)
        return [_of_project(draw.choice(places), number) for number in projects]

    def _places_of(self, kind: type[AnyServer], folder: Path, root: Path) -> tuple[Request, ...]:
        if not issubclass(kind, Server) or not kind.own_pictures:
            return self._places[""]
        if kind.name not in self._places:
            server = kind(folder.with_name(f"{folder.name}-pictures"), Setting(root / "many"))
            try:
                server.start(_PROBE)
                places = accepted(server, self._places[""], self._bodies)
            finally:
                server.stop()
            self._places[kind.name] = places
        return self._places[kind.name]

    def measure(self, kind: type[AnyServer], folder: Path, root: Path, pace: float) -> Measured:
        asked_for = self._requests(self._places_of(kind, folder, root))
        server = kind(folder, Setting(root / "many", workers=4, cache=20))
        measured = Measured()
        try:
            server.start(_PROBE)
            time.sleep(_SETTLED)
            cold, warm = int(_COLD * pace), int(_WARM * pace)
            for prefix, asked in (
                ("cold_", asked_for[:cold]), ("", asked_for[_COLD : _COLD + warm])
            ):  # fmt: skip
                stream = Stream(tuple(asked), _CLIENTS)
                (result,) = server.run(Load((stream,), _PATIENCE, len(asked)))
                measured.figures |= _figures(prefix, result)
                measured.count([result])
            if (loads := _loads(server)) is not None:
                measured.figures["loads"] = loads
            measured.figures["pss"] = server.pss() / _MB
        finally:
            server.stop()
        return measured


# What has nothing to load, so that no project is open when the first one is asked for.
_PROBE = requests.small()


def _of_project(one: Request, number: int) -> Request:
    path = one.path.replace("p000.qgs", f"p{number:03}.qgs")
    return Request(path, one.headers, one.status, one.expected)


def _figures(prefix: str, result: Result) -> dict[str, float]:
    return {
        f"{prefix}rate": result.rate,
        f"{prefix}p50": 1000 * result.median,
        f"{prefix}p99": 1000 * result.quantile(0.99),
    }


def _loads(server: AnyServer) -> float | None:
    if isinstance(server, Qgsd):
        return float(sum(row["loads"] for row in server.ctl("projects")))
    return float(server.loads()) if isinstance(server, InProcess) else None
