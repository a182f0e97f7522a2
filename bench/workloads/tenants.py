# SPDX-License-Identifier: GPL-2.0-or-later
"""Several projects at the same time."""

from __future__ import annotations

import random
from pathlib import Path

from bench.load import Load, Stream
from bench.servers.base import Setting
from bench.servers.in_process import InProcess
from bench.workloads import requests
from bench.workloads.base import AnyServer, Figure, Measured, Workload


class BesideHeavy(Workload):
    """Two clients want tiles of one project while six want labelled maps of another."""

    key = "beside-heavy"
    title = "tiles beside a heavy tenant"
    figures = (
        Figure("p99", "ms", more=False), Figure("p50", "ms", more=False, charted=False),
        Figure("rate", "1/s"), Figure("heavy", "1/s"),
    )  # fmt: skip
    seconds = 7.0

    def setting(self, root: Path) -> Setting:
        return Setting(root, apart=self.key)

    def prepare(self, limit: InProcess) -> None:
        self.tiles = Stream(limit.with_expected(requests.tiles()), 2, "tiles")
        self.heavy = Stream(limit.with_expected(requests.labelled_maps("heavy.qgs")), 6, "heavy")

    def measure(self, server: AnyServer, pace: float) -> Measured:
        tiles, heavy = server.run(Load((self.tiles, self.heavy), self.seconds * pace))
        measured = Measured({
            "p99": 1000 * tiles.quantile(0.99), "p50": 1000 * tiles.median, "rate": tiles.rate,
            "heavy": heavy.rate,
        })  # fmt: skip
        measured.count([tiles, heavy])
        return measured


class ManyProjects(Workload):
    """A hundred projects, the n-th asked for 1/n as often as the first, by eight clients; four workers.

    Each worker may keep twenty of them open, where a server can be told so.
    """

    key = "many-projects"
    title = "100 projects"
    figures = (
        Figure("rate", "1/s"),
        Figure("p50", "ms", more=False, charted=False),
        Figure("p99", "ms", more=False),
    )
    seconds = 10.0
    warm_up = 10.0
    connections = 8
    # It would keep them all open.
    without = frozenset({"in process"})

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def setting(self, root: Path) -> Setting:
        return Setting(root / "many", workers=4, cache=20)

    def prepare(self, limit: InProcess) -> None:
        draw = random.Random(3)
        projects = range(100)
        weights = [1 / (number + 1) for number in projects]
        places = limit.with_expected(requests.tiles("p000.qgs")[:50])
        asked = []
        for number in draw.choices(projects, weights, k=8000):
            one = draw.choice(places)
            path = one.path.replace("p000.qgs", f"p{number:03}.qgs")
            asked.append(type(one)(path, one.headers, one.status, one.expected))
        self.stream = Stream(tuple(asked), self.connections)
        self.shifted = Stream(tuple(asked[4000:] + asked[:4000]), self.connections)

    def measure(self, server: AnyServer, pace: float) -> Measured:
        measured = Measured()
        if id(server) not in self.seen:
            self.seen.add(id(server))
            measured.count(server.run(Load((self.shifted,), self.warm_up * pace)))
        (result,) = server.run(Load((self.stream,), self.seconds * pace))
        measured.figures = {
            "rate": result.rate, "p50": 1000 * result.median, "p99": 1000 * result.quantile(0.99)
        }  # fmt: skip
        measured.count([result])
        return measured
