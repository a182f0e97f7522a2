# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulation in small: the scheduler keeps projects where they are open, and its decisions stay cheap.

Counted, not timed: how many Python functions a decision calls is the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from bench.simulation.cluster import Cluster, Outcome, quantile
from bench.simulation.rivals import Fair, Fifo, Random
from bench.simulation.traffic import Scale, Traffic


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


def _calls(scale: Scale) -> float:
    cluster = Cluster(Traffic(scale), _Counting)
    cluster.run()
    rule = cluster.rule
    assert isinstance(rule, _Counting)
    return rule.calls / rule.decisions


def test_a_decision_costs_about_as_much_in_a_large_cluster_as_in_a_small_one() -> None:
    small = _calls(Scale(workers=10, projects=200, requests=1_000, load=0.2))
    large = _calls(Scale(workers=160, projects=3_200, requests=3_000, load=0.2))
    # Sixteen times the size is four doublings.
    assert large < 3 * small, f"{small:.0f} calls a decision have become {large:.0f}"
