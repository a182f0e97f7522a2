# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster in memory: workers that load, keep and close projects as real ones do, and take their time."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from bench.simulation.rivals import Orders, Rule
from bench.simulation.traffic import Request, Traffic

# So many of the first requests only fill the workers.
_WARM_UP = 0.5

MakeRule = Callable[[Orders, int, int], Rule]


@dataclass
class Outcome:
    """What came of it. Seconds are from a request's arrival to its end, of light and of heavy requests."""

    rule: str
    light: list[float] = field(default_factory=list)
    heavy: list[float] = field(default_factory=list)
    hits: int = 0
    served: int = 0
    took: float = 0.0
    decisions: int = 0
    decided: float = 0.0
    collected: float = 0.0

    @property
    def rate(self) -> float:
        return self.served / self.took

    @property
    def hit_ratio(self) -> float:
        return self.hits / self.served

    @property
    def microseconds(self) -> float:
        """Of one decision, without those in which garbage was collected."""
        return 1e6 * (self.decided - self.collected) / self.decisions if self.decisions else 0.0

    @property
    def collecting(self) -> float:
        """Microseconds of collecting garbage for one decision."""
        return 1e6 * self.collected / self.decisions if self.decisions else 0.0


def quantile(seconds: list[float], q: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


class Cluster:
    """Runs the traffic once, under one rule."""

    def __init__(self, traffic: Traffic, make: MakeRule) -> None:
        scale = traffic.scale
        self.traffic = traffic
        self.now = 0.0
        self._cache = scale.cache
        self._open: list[OrderedDict[str, None]] = [OrderedDict() for _ in range(scale.workers)]
        # What each runs, and what it was handed before it asked.
        self._running: list[int | None] = [None] * scale.workers
        self._next: list[int | None] = [None] * scale.workers
        self._requests: dict[int, Request] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._warm_up = int(scale.requests * _WARM_UP)
        self._orders: deque[Callable[[], None]] = deque()
        self.rule = make(self, scale.workers, scale.cache)
        self.outcome = Outcome(self.rule.name)

    def run(self) -> Outcome:
        began, decided = 0.0, (0, 0.0, 0.0)
        for request in self.traffic.requests():
            request = self._when_asked(request)
            self._until(request.at)
            if request.number == self._warm_up:
                rule = self.rule
                began, decided = request.at, (rule.decisions, rule.seconds, rule.collected)
            self._requests[request.number] = request
            self.rule.arrived(request, request.at)
            self._obey()
        # Who cannot keep up takes longer to come to the end, so that the rate tells.
        self._until(float("inf"))
        outcome = self.outcome
        outcome.took = self.now - began
        outcome.decisions = self.rule.decisions - decided[0]
        outcome.decided = self.rule.seconds - decided[1]
        outcome.collected = self.rule.collected - decided[2]
        return outcome

    def _when_asked(self, request: Request) -> Request:
        """Where clients wait for their answers, it is asked when one of them has its own."""
        clients = self.traffic.scale.clients
        if not clients:
            return request
        while len(self._requests) >= clients:
            self._step()
        return replace(request, at=self.now)

    def _until(self, when: float) -> None:
        """Let happen what happens before that moment."""
        while self._events and min(self._events[0][0], self._alarm()) <= when:
            self._step()
        if when < float("inf"):
            self.now = when

    def _step(self) -> None:
        """What comes next happens."""
        alarm = self._alarm()
        if alarm <= self._events[0][0]:
            self.now = max(self.now, alarm)
            self.rule.tick(self.now)
        else:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self._obey()

    def _alarm(self) -> float:
        alarm = self.rule.alarm()
        return float("inf") if alarm is None else alarm

    def _obey(self) -> None:
        """Orders are carried out when the rule has said all of them, as they come by the network."""
        while self._orders:
            self._orders.popleft()()

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._serial), happen))

    # Orders.

    def start(self, worker: int, number: int) -> None:
        self._orders.append(lambda: self._start(worker, number))

    def load(self, worker: int, project: str) -> None:
        self._orders.append(lambda: self._load(worker, project, lambda: None))

    def close(self, worker: int, project: str) -> None:
        self._orders.append(lambda: self._open[worker].pop(project, None))

    def recall(self, worker: int, number: int) -> None:
        self._orders.append(lambda: self._recall(worker, number))

    def _recall(self, worker: int, number: int) -> None:
        assert self._next[worker] == number, "orders arrive at once here, so it has not begun"
        self._next[worker] = None
        self.rule.declined(worker, number, self.now)

    def _start(self, worker: int, number: int) -> None:
        if self._running[worker] is not None:
            self._next[worker] = number
            return
        self._running[worker] = number
        request = self._requests[number]
        open_here = self._open[worker]
        counts = number >= self._warm_up
        if request.project in open_here:
            open_here.move_to_end(request.project)
            self.outcome.hits += counts
            self._after(request.seconds, lambda: self._done(worker, request))
        else:
            seconds = request.seconds + self.traffic.first_seconds
            self._load(
                worker, request.project, lambda: self._after(seconds, lambda: self._done(worker, request))
            )

    def _load(self, worker: int, project: str, then: Callable[[], None]) -> None:
        seconds = self.traffic.load_seconds(project)

        def loaded() -> None:
            open_here = self._open[worker]
            open_here[project] = None
            open_here.move_to_end(project)
            self.rule.loaded(worker, project, seconds, self.now)
            while len(open_here) > self._cache:
                closed, _ = open_here.popitem(last=False)
                self.rule.closed(worker, closed)
            then()

        self._after(seconds, loaded)

    def _done(self, worker: int, request: Request) -> None:
        del self._requests[request.number]
        if request.number >= self._warm_up:
            self.outcome.served += 1
            kind = self.outcome.heavy if request.is_heavy else self.outcome.light
            kind.append(self.now - request.at)
        self._running[worker] = None
        if (coming := self._next[worker]) is not None:
            self._next[worker] = None
            self._start(worker, coming)
        self.rule.finished(worker, request.number, self.now)
