# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting, dying, and what it all takes in memory."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bench.load import Load, Request, Stream
from bench.servers.base import Server, Setting
from bench.workloads import requests
from bench.workloads.base import Alone, Figure, Measured

_MB = 1 << 20
_PATIENCE = 10.0
_EVERY = 0.01
# Seconds in which a server may give back what it does not need.
_REST = 2.0


class StartAndDeath(Alone[Server]):
    """From nothing to the first map; then all workers are killed (SIGKILL), twice.

    `ready`: from the first time to an answer that takes no time; `again`: from the second to a map, for
    which the project has to be loaded again.
    """

    key = "start"
    title = "start; all workers killed"
    figures = (
        Figure("start", "s", more=False), Figure("ready", "s", more=False), Figure("again", "s", more=False),
    )  # fmt: skip
    rounds = 2

    def __init__(self) -> None:
        # Servers that do not come back; that need not be waited for twice.
        self.gone: set[str] = set()

    def measure(self, kind: type[Server], folder: Path, root: Path, pace: float) -> Measured:
        server, probe = kind(folder, Setting(root)), requests.tile(33, 21)
        measured = Measured(answers=1)
        try:
            measured.figures["start"] = server.start(probe)
            if server.name in self.gone:
                return measured
            _occupy(server, server.settling)
            for figure, request in (("ready", requests.small()), ("again", probe)):
                server.kill_workers()
                seconds = _until_answered(server, request, _PATIENCE * max(0.3, pace))
                if seconds is None:
                    self.gone.add(server.name)
                    break
                measured.figures[figure] = seconds
                _occupy(server, 1.5)
        finally:
            server.stop()
        return measured


def _occupy(server: Server, seconds: float) -> None:
    server.run(Load((Stream(tuple(requests.tiles()), 2 * server.setting.workers),), seconds))


def _until_answered(server: Server, probe: Request, patience: float) -> float | None:
    """Seconds to the first answer to any of the requests that are sent one after the other, every 10 ms.

    Many, since a server may lose some in the queue of a worker that has gone. None if it does not come back.
    """
    began = time.perf_counter()
    answered: list[float] = []

    def ask() -> None:
        if server.answers(probe, patience):
            answered.append(time.perf_counter() - began)

    with ThreadPoolExecutor(64) as asking:
        asked: list[Future[None]] = []
        while not answered and (now := time.perf_counter() - began) < patience:
            if len(asked) < 60 or all(one.done() for one in asked):
                asked.append(asking.submit(ask))
            time.sleep(_EVERY if now < 1 else 0.1)
        return answered[0] if answered else None


class Memory(Alone[Server]):
    """Proportional set size of all processes with 1, 4 and 8 workers that have drawn maps and rest.

    `further`: what each one more than the first takes.
    """

    key = "memory"
    title = "memory"
    figures = (
        Figure("pss1", "MB", more=False), Figure("pss4", "MB", more=False), Figure("pss8", "MB", more=False),
        Figure("further", "MB", more=False),
    )  # fmt: skip
    rounds = 1

    def measure(self, kind: type[Server], folder: Path, root: Path, pace: float) -> Measured:
        measured = Measured()
        numbers = (1, 4, 8) if pace >= 1 else (1, 4)
        for workers in numbers:
            server = kind(folder / str(workers), Setting(root, workers))
            try:
                server.start(requests.tile(33, 21))
                _occupy(server, 1.5 + workers / 4)
                time.sleep(_REST)
                measured.figures[f"pss{workers}"] = server.pss() / _MB
            finally:
                server.stop()
        more = measured.figures[f"pss{numbers[-1]}"] - measured.figures["pss1"]
        measured.figures["further"] = more / (numbers[-1] - 1)
        measured.answers = len(numbers)
        return measured
