# SPDX-License-Identifier: GPL-2.0-or-later
"""Replacing a project, by example: who prepares, who serves meanwhile, and what is no reason to change."""

from __future__ import annotations

from math import inf

import pytest

from qgsd.proxy.decisions import Arrival, Decision, Dispatch, Limits, Load, Loaded, Note, Reinforce
from qgsd.proxy.scheduler import Scheduler

LIMITS = Limits(max_queue=50, queue_timeout=100.0, worker_grace=5.0)
SLOW = 5.0


def arrival(id: str) -> Arrival:
    return Arrival(id, b"http", "k", True, 60.0, fingerprint=id)


def loaded(generation: int, version: str, seconds: float = SLOW, outcome: str = "loaded") -> Loaded:
    return Loaded("k", generation, outcome, version, seconds)  # type: ignore[arg-type]


def serving(*workers: bytes, seconds: float = SLOW) -> Scheduler:
    """All of them have the project open."""
    made = Scheduler(LIMITS, 0.0)
    has_open = [loaded(1, "v1", seconds)]
    for worker in workers:
        made.joined(worker, 0.0, has_open=has_open)
    return made


def loads(decisions: list[Decision]) -> list[tuple[bytes, int]]:
    return [(one.worker, one.generation) for one in decisions if isinstance(one, Load)]


def dispatched(decisions: list[Decision]) -> dict[str, bytes]:
    return {one.id: one.worker for one in decisions if isinstance(one, Dispatch)}


def flipped(decisions: list[Decision]) -> bool:
    return any(isinstance(one, Note) and one.event == "project.flipped" for one in decisions)


def test_who_serves_a_slow_project_does_not_prepare_it() -> None:
    brain = serving(b"a", b"b")
    begun = brain.changed("k", "v2", 1.0)
    assert (Reinforce(2) in begun, loads(begun)) == (True, [])
    assert loads(brain.joined(b"r1", 1.1, reserve=True)) == [(b"r1", 2)]
    assert loads(brain.joined(b"r2", 1.1, reserve=True)) == [], "half of the workers at a time"
    started = brain.arrived(arrival("1"), 2.0) + brain.arrived(arrival("2"), 2.0)
    running = dispatched(started)
    assert set(running.values()) == {b"a", b"b"}
    assert Reinforce(2) in started + brain.tick(2.2), "or the master would let them go"
    first = brain.loaded(b"r1", loaded(2, "v2"), 6.0)
    assert (loads(first), flipped(first)) == ([(b"r2", 2)], False)
    for id, worker in running.items():
        brain.finished(worker, id, 6.5)
    done = brain.loaded(b"r2", loaded(2, "v2"), 11.0)
    assert flipped(done)
    assert {worker for worker, _ in loads(done)} < {b"a", b"b"}, "the others follow, one by one"
    assert loads(done)
    assert set(dispatched(brain.arrived(arrival("3"), 11.1)).values()) <= {b"r1", b"r2"}


def test_the_reserve_is_kept_until_the_others_have_it() -> None:
    brain = serving(b"a", b"b")
    brain.changed("k", "v2", 1.0)
    for worker in (b"r1", b"r2"):
        brain.joined(worker, 1.1, reserve=True)
    brain.loaded(b"r1", loaded(2, "v2"), 6.0)
    follows = brain.loaded(b"r2", loaded(2, "v2"), 11.0)
    for now in (16.0, 21.0):
        assert Reinforce(2) in brain.tick(now - 2)
        ((worker, generation),) = loads(follows)
        follows = brain.loaded(worker, loaded(generation, "v2"), now)
    assert loads(follows) == []
    brain.tick(23.0)
    assert brain.next_alarm() == inf


@pytest.mark.parametrize("workers", [(b"a",), (b"a", b"b")])
def test_without_a_reserve_they_prepare_themselves(workers: tuple[bytes, ...]) -> None:
    brain = serving(*workers)
    assert loads(brain.changed("k", "v2", 1.0)) == []
    assert loads(brain.tick(2.0)) == []
    assert len(loads(brain.tick(3.1))) == 1


def test_what_loads_quickly_needs_no_reserve() -> None:
    brain = serving(b"a", b"b", seconds=0.05)
    begun = brain.changed("k", "v2", 1.0)
    assert (Reinforce(2) in begun, len(loads(begun))) == (False, 1)


@pytest.mark.parametrize(
    ("holder", "finder", "changes"),
    [
        (b"q::0:9:1", b"q::1:8:1", True),
        (b"q:here:0:9:1", b"q:there:0:7:1", False),
        (b"q:twin:0:9:1", b"q:twin:0:7:1", False),
    ],
)
def test_what_another_machine_has_is_no_change(holder: bytes, finder: bytes, changes: bool) -> None:
    brain = serving(holder, seconds=0.05)
    brain.joined(finder, 0.0)
    brain.keeper.errands.want("k", copies=2)
    assert loads(brain.wanted([], [], 3.0)) == [(finder, 1)]
    brain.loaded(finder, loaded(1, "v0", 0.0, "other"), 4.0)
    assert brain.keeper.projects.known("k").changing is changes
