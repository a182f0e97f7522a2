# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulation in small: the scheduler keeps projects where they are open, and its decisions stay cheap.

Counted, not timed: how many Python functions a decision calls is the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import log2

import pytest

from bench.simulation.cluster import Cluster, Outcome, quantile
from bench.simulation.rivals import Fair, Fifo, Random
from bench.simulation.traffic import Scale, Traffic
from qgsd.proxy import projects


def _run(scale: Scale) -> list[Outcome]:
    return [Cluster(Traffic(scale), make).run() for make in (Fair, Fifo, Random)]


def test_it_finds_projects_open_and_answers_sooner_than_simpler_rules() -> None:
    fair, *others = _run(Scale(workers=10, projects=200, requests=4_000, load=0.2))
    assert fair.served == others[0].served == 2_000
    assert fair.hit_ratio > 0.9
    for other in others:
        assert fair.hit_ratio > 1.5 * other.hit_ratio
        assert fair.rate > 1.5 * other.rate
        assert quantile(fair.light, 0.99) < 0.2 * quantile(other.light, 0.99)


@pytest.mark.parametrize("clients", [20, 60])
def test_under_overload_workers_do_not_close_each_others_projects(clients: int) -> None:
    fair, first_come, _ = _run(Scale(workers=10, projects=200, requests=4_000, clients=clients))
    assert fair.hit_ratio > 0.85
    assert fair.rate > 2 * first_come.rate


class _Counting(Fair):
    """Counts the functions that deciding calls, C functions included."""

    calls = 0

    def _count(self, frame: object, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")

    def _counted(self, decide: Callable[[], None]) -> None:
        before = sys.getprofile()
        sys.setprofile(self._count)
        try:
            decide()
        finally:
            sys.setprofile(before)

    def arrived(self, *event: object) -> None:
        self._counted(lambda: super(_Counting, self).arrived(*event))  # type: ignore[arg-type]

    def loaded(self, *event: object) -> None:
        self._counted(lambda: super(_Counting, self).loaded(*event))  # type: ignore[arg-type]

    def finished(self, *event: object) -> None:
        self._counted(lambda: super(_Counting, self).finished(*event))  # type: ignore[arg-type]

    def declined(self, *event: object) -> None:
        self._counted(lambda: super(_Counting, self).declined(*event))  # type: ignore[arg-type]

    def tick(self, *event: object) -> None:
        self._counted(lambda: super(_Counting, self).tick(*event))  # type: ignore[arg-type]


def _calls(scale: Scale) -> float:
    cluster = Cluster(Traffic(scale), _Counting)
    cluster.run()
    rule = cluster.rule
    assert isinstance(rule, _Counting)
    return rule.calls / rule.decisions


@pytest.mark.parametrize("clients", [0, 2], ids=["quiet", "overloaded"])
def test_a_decision_costs_no_more_than_logarithmically_with_workers_and_projects(
    monkeypatch: pytest.MonkeyPatch, clients: int
) -> None:
    # As in a cluster that runs for long: more projects are known, and open, than are remembered when unused.
    monkeypatch.setattr(projects, "_MAX_KNOWN", 500)
    calls = {}
    for workers in (10, 160, 2_560):
        requests = max(1_000, 3 * workers)
        calls[workers] = _calls(Scale(workers, 20 * workers, requests, load=0.2, clients=clients * workers))
    for workers in (160, 2_560):
        assert calls[workers] < calls[10] * log2(workers) / log2(10), calls
