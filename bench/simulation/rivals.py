# SPDX-License-Identifier: GPL-2.0-or-later
"""Who decides who serves what in the simulation: qgsd's scheduler, or a simpler rule to compare it with."""

from __future__ import annotations

import gc
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bench.simulation.traffic import Request
from qgsd.proxy import decisions as plan
from qgsd.proxy.costs import kind_of
from qgsd.proxy.scheduler import Scheduler

_PIXELS = {"tile": 256 * 256, "map": 2400 * 1600}


class Orders(Protocol):
    """What the simulated cluster does for whoever decides."""

    def start(self, worker: int, number: int) -> None: ...
    def load(self, worker: int, project: str) -> None: ...
    def close(self, worker: int, project: str) -> None: ...
    def recall(self, worker: int, number: int) -> None: ...


class Rule(Protocol):
    """Is told what happens, and gives orders. `decisions` and `seconds` count what deciding cost.

    `collected` are those of the seconds in which Python collected garbage, the simulation's included.
    """

    name: str
    decisions: int
    seconds: float
    collected: float

    def arrived(self, request: Request, now: float) -> None: ...
    def loaded(self, worker: int, project: str, seconds: float, now: float) -> None: ...
    def closed(self, worker: int, project: str) -> None: ...
    def finished(self, worker: int, number: int, now: float) -> None: ...
    def declined(self, worker: int, number: int, now: float) -> None: ...
    def alarm(self) -> float | None: ...
    def tick(self, now: float) -> None: ...


class _Collections:
    """Adds up the seconds that collecting garbage takes, from now on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began

    def close(self) -> None:
        gc.callbacks.remove(self._told)


class Fair:
    """The scheduler of the dispatcher, as it is."""

    name = "qgsd"

    def __init__(self, orders: Orders, workers: int, cache: int) -> None:
        self.orders = orders
        self.decisions = 0
        self.seconds = self.collected = 0.0
        limits = plan.Limits(
            max_queue=20 * workers + 1000, queue_timeout=1e6, worker_grace=1e6, cache_size=cache
        )
        self.scheduler = Scheduler(limits, 0.0)
        self._names = [b"%d" % number for number in range(workers)]
        for name in self._names:
            self.scheduler.joined(name, 0.0, prefetches=True)

    def _decide(self, decide: Callable[[], list[plan.Decision]]) -> None:
        collections = _Collections()
        began = time.perf_counter()
        decided = decide()
        self.seconds += time.perf_counter() - began
        collections.close()
        self.collected += collections.seconds
        self.decisions += 1
        for decision in decided:
            match decision:
                case plan.Dispatch(worker, id):
                    self.orders.start(int(worker), int(id))
                case plan.Load(worker, key):
                    self.orders.load(int(worker), key)
                case plan.Close(worker, key):
                    self.orders.close(int(worker), key)
                case plan.Recall(worker, id):
                    self.orders.recall(int(worker), int(id))
                case _:
                    pass

    def arrived(self, request: Request, now: float) -> None:
        kind = kind_of("WMS", request.kind, _PIXELS.get(request.kind, 0))
        arrival = plan.Arrival(str(request.number), b"http", request.project, True, 1e6, kind=kind)
        self._decide(lambda: self.scheduler.arrived(arrival, now))

    def loaded(self, worker: int, project: str, seconds: float, now: float) -> None:
        told = plan.Loaded(project, 1, "loaded", "v", seconds)
        self._decide(lambda: self.scheduler.loaded(self._names[worker], told, now))

    def closed(self, worker: int, project: str) -> None:
        self._decide(lambda: self.scheduler.closed(self._names[worker], project, 0))

    def finished(self, worker: int, number: int, now: float) -> None:
        self._decide(lambda: self.scheduler.finished(self._names[worker], str(number), now))

    def declined(self, worker: int, number: int, now: float) -> None:
        self._decide(lambda: self.scheduler.declined(self._names[worker], str(number), now))

    def alarm(self) -> float | None:
        return self.scheduler.next_alarm()

    def tick(self, now: float) -> None:
        self._decide(lambda: self.scheduler.tick(now))


class _Simple:
    """Decides at once and does not count."""

    decisions = 0
    seconds = collected = 0.0

    def __init__(self, orders: Orders, workers: int, cache: int) -> None:
        self.orders = orders

    def loaded(self, worker: int, project: str, seconds: float, now: float) -> None:
        return

    def closed(self, worker: int, project: str) -> None:
        return

    def declined(self, worker: int, number: int, now: float) -> None:
        return

    def alarm(self) -> float | None:
        return None

    def tick(self, now: float) -> None:
        return


class Fifo(_Simple):
    """One queue, first come first served, whichever worker is idle: nginx with FastCGI, py-qgis-server."""

    name = "first come"

    def __init__(self, orders: Orders, workers: int, cache: int) -> None:
        super().__init__(orders, workers, cache)
        self._idle = deque(range(workers))
        self._waiting: deque[int] = deque()

    def arrived(self, request: Request, now: float) -> None:
        if self._idle:
            self.orders.start(self._idle.popleft(), request.number)
        else:
            self._waiting.append(request.number)

    def finished(self, worker: int, number: int, now: float) -> None:
        if self._waiting:
            self.orders.start(worker, self._waiting.popleft())
        else:
            self._idle.append(worker)


class Random(_Simple):
    """Each request goes to a worker by chance and waits there: a load balancer that knows nothing."""

    name = "by chance"

    def __init__(self, orders: Orders, workers: int, cache: int) -> None:
        super().__init__(orders, workers, cache)
        self._draw = random.Random(7)
        self._waiting: list[deque[int]] = [deque() for _ in range(workers)]
        self._busy = [False] * workers

    def arrived(self, request: Request, now: float) -> None:
        worker = self._draw.randrange(len(self._waiting))
        if self._busy[worker]:
            self._waiting[worker].append(request.number)
        else:
            self._busy[worker] = True
            self.orders.start(worker, request.number)

    def finished(self, worker: int, number: int, now: float) -> None:
        if self._waiting[worker]:
            self.orders.start(worker, self._waiting[worker].popleft())
        else:
            self._busy[worker] = False
