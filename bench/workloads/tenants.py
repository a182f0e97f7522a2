# SPDX-License-Identifier: GPL-2.0-or-later
"""Tenants that want very different things at the same time."""

from __future__ import annotations

from pathlib import Path

from bench.load import Load, Stream
from bench.servers.base import Setting
from bench.servers.in_process import InProcess
from bench.workloads import requests
from bench.workloads.base import AnyServer, Figure, Measured, Workload, rate_figures, rate_of


class Views(Workload):
    """A page asks for the tiles of a view at once, 24 of them, then for those of the next.

    What is cut out of a metatile may differ by a shade at its edges (docs/tiles.md), so the answers are
    compared in their status only.
    """

    figures = rate_figures()
    seconds = 4.0
    on_request = True

    def __init__(self, key: str, title: str, metatiles: int = 0) -> None:
        self.key, self.title, self.metatiles = key, title, metatiles

    def setting(self, root: Path) -> Setting:
        return Setting(root, metatiles=self.metatiles)

    def prepare(self, limit: InProcess) -> None:
        self.stream = Stream(tuple(requests.views(24)), 24)

    def measure(self, server: AnyServer, pace: float) -> Measured:
        load = Load((self.stream,), self.seconds * pace)
        return rate_of(server, lambda: server.run(load)[0])


class BesideHeavy(Workload):
    """Two clients want tiles of one project while six want labelled maps of another."""

    key = "beside-heavy"
    title = "tiles beside a heavy tenant"
    figures = (
        Figure("p99", "ms", more=False), Figure("p50", "ms", more=False, charted=False),
        Figure("rate", "1/s"), Figure("heavy", "1/s"),
    )  # fmt: skip
    seconds = 3.5

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
