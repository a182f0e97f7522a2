# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's decisions: single rules by example, and what holds whatever is seen."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgsd.master.policy import Drain, Kill, Start, decide
from qgsd.master.snapshot import (
    ChildView,
    Limits,
    Role,
    Slot,
    Snapshot,
    Stopping,
    Targets,
)

LIMITS = Limits(start_timeout=60.0, kill_grace=1.0, stop_timeout=30.0)


def child(key: int, role: Role = "worker", slot: int = 0, **more: object) -> ChildView:
    facts: dict[str, object] = {"generation": 1, "phase": "ready", "started_at": 0.0} | more
    return ChildView(key, role, slot, **facts)  # type: ignore[arg-type]


def snapshot(*children: ChildView, now: float = 100.0, stopping: Stopping = "no", **targets: int) -> Snapshot:
    return Snapshot(now, stopping, Targets(1, targets), LIMITS, children)  # type: ignore[arg-type]


TEMPLATE = child(90, "template")


def test_empty_slots_are_filled() -> None:
    assert decide(snapshot(template=1, http=2)) == [Start("template", 0), Start("http", 0), Start("http", 1)]


def test_workers_wait_for_a_template() -> None:
    starting = child(90, "template", phase="starting", started_at=99.0)
    assert decide(snapshot(starting, template=1, worker=2)) == []
    assert decide(snapshot(TEMPLATE, template=1, worker=2)) == [Start("worker", 0), Start("worker", 1)]


def test_too_many_are_drained_with_the_reason() -> None:
    actions = decide(snapshot(TEMPLATE, child(1, slot=0), child(2, slot=1), template=1, worker=1))
    assert actions == [Drain(2, "scaled to 1", LIMITS.linger)]


def test_a_request_over_its_deadline_is_ended_with_the_figures() -> None:
    late = child(1, deadline=97.5)
    (kill,) = decide(snapshot(TEMPLATE, late, template=1, worker=1))
    assert kill == Kill(1, "deadline", "its request, or the project it loads, is 2.5 s over the deadline")
    assert decide(snapshot(TEMPLATE, child(1, deadline=99.5), template=1, worker=1)) == []


def test_a_child_that_does_not_become_ready_is_ended() -> None:
    (kill,) = decide(snapshot(child(1, "http", phase="starting", started_at=39.0), http=1))
    assert isinstance(kill, Kill)
    assert kill.cause == "start_timeout"


def test_a_resting_slot_is_left_alone_until_its_time() -> None:
    resting = dataclasses.replace(snapshot(http=1), resting={("http", 0): 101.0})
    assert decide(resting) == []
    assert decide(dataclasses.replace(resting, now=101.0)) == [Start("http", 0)]


def test_a_successor_starts_before_its_predecessor_is_drained() -> None:
    old = child(1, "http", generation=0)
    assert decide(snapshot(old, http=1)) == [Start("http", 0)]
    new = child(2, "http", phase="starting", started_at=99.0)
    assert decide(snapshot(old, new, http=1)) == []
    ready = dataclasses.replace(new, phase="ready")
    assert decide(snapshot(old, ready, http=1)) == [Drain(1, "its successor is ready", LIMITS.linger)]


def test_graceful_stop_goes_from_the_clients_inwards() -> None:
    everybody = [child(1, "http"), child(2), TEMPLATE, child(4, "dispatcher")]

    def drained(*present: ChildView) -> list[int]:
        return [a.key for a in decide(snapshot(*present, stopping="graceful")) if isinstance(a, Drain)]

    assert drained(*everybody) == [1]
    assert drained(*everybody[1:]) == [2]
    assert drained(*everybody[2:]) == [90, 4]


def test_quick_stop_ends_all_at_once() -> None:
    actions = decide(snapshot(child(1, "http"), child(2), TEMPLATE, stopping="quick"))
    assert [type(action) for action in actions] == [Kill, Kill, Kill]
    killed = dataclasses.replace(child(1, "http"), killed_at=99.0)
    assert decide(snapshot(killed, child(2), stopping="quick")) == [
        Kill(2, "stopped", "the instance stops at once")
    ]


def test_while_it_stops_nobody_is_started_and_who_takes_too_long_is_ended() -> None:
    slow = child(1, "http", phase="draining", drained_at=69.0)
    (kill,) = decide(snapshot(slow, child(2), TEMPLATE, http=2, worker=4, template=1, stopping="graceful"))
    assert isinstance(kill, Kill)
    assert (kill.key, kill.cause) == (1, "stop_timeout")


@pytest.mark.parametrize(
    ("late", "on_time"),
    [
        ({"deadline": 98.9}, {"deadline": 99.0}),
        ({"phase": "starting", "started_at": 39.9}, {"phase": "starting", "started_at": 40.0}),
        ({"phase": "draining", "drained_at": 69.9}, {"phase": "draining", "drained_at": 70.0}),
    ],
)
def test_a_bound_is_reached_when_it_is_passed(late: dict[str, object], on_time: dict[str, object]) -> None:
    def kills(facts: dict[str, object]) -> list[int]:
        seen = snapshot(TEMPLATE, child(1, **facts), template=1, worker=1)
        return [action.key for action in decide(seen) if isinstance(action, Kill)]

    assert kills(late) == [1]
    assert kills(on_time) == []
    assert kills(late | {"killed_at": 99.5}) == [], "once is enough"


def test_who_is_killed_counts_no_more_in_the_same_decision() -> None:
    surplus = child(1, slot=5, deadline=90.0)
    (kill,) = decide(snapshot(TEMPLATE, child(2), surplus, template=1, worker=1))
    assert isinstance(kill, Kill)
    old, successor = child(1, generation=0), child(2, deadline=90.0)
    (kill,) = decide(snapshot(TEMPLATE, old, successor, template=1, worker=1))
    assert isinstance(kill, Kill)
    assert kill.key == 2, "the old one goes on, for its successor is dead"


def test_a_dying_child_keeps_its_slot_until_it_has_gone_or_hangs() -> None:
    dying = child(1, "http", killed_at=99.0)
    assert decide(snapshot(dying, http=1)) == []
    assert decide(snapshot(dying, now=101.0, http=1)) == [Start("http", 0)]


def test_who_drains_does_not_hold_up_the_next() -> None:
    assert decide(snapshot(child(1, "http", phase="draining", drained_at=90.0), http=1)) == [Start("http", 0)]


def test_successors_come_a_few_at_a_time() -> None:
    old = [child(number, slot=number, generation=0) for number in range(8)]
    seen = snapshot(TEMPLATE, *old, template=1, worker=8)
    assert decide(seen) == [Start("worker", 0), Start("worker", 1)]
    starting = child(100, slot=0, phase="starting", started_at=99.0)
    assert decide(dataclasses.replace(seen, children=(*seen.children, starting))) == [Start("worker", 1)]


def test_empty_slots_need_not_wait_for_successors() -> None:
    old = [child(number, slot=number, generation=0) for number in range(4)]
    actions = decide(snapshot(TEMPLATE, *old, template=1, worker=7))
    assert actions == [Start("worker", slot) for slot in (0, 4, 5, 6)]


def test_a_new_template_that_does_not_start_takes_nothing_away() -> None:
    old_template = child(90, "template", generation=0)
    new = child(91, "template", phase="starting", started_at=99.0)
    workers = [child(number, slot=number, generation=0) for number in range(2)]
    assert decide(snapshot(old_template, new, *workers, template=1, worker=2)) == []
    assert decide(snapshot(old_template, new, workers[0], template=1, worker=2)) == [Start("worker", 1)]
    failed = dataclasses.replace(
        snapshot(old_template, *workers, template=1, worker=2), resting={("template", 0): 120.0}
    )
    assert decide(failed) == []


class Counted(ChildView):
    """A child that counts how often it is looked at."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        Counted.looks += 1
        return super().__getattribute__(name)


def _looks(workers: int, **facts: object) -> int:
    """How often a decision looks at a child, with so many workers; busy, for they are all being replaced."""
    Counted.looks = 0
    many = [Counted(number, "worker", number, 0, "ready", 0.0, **facts) for number in range(workers)]  # type: ignore[arg-type]
    fresh = [Counted(workers + n, "worker", n, 1, "starting", 99.0) for n in range(workers // 8)]
    actions = decide(snapshot(TEMPLATE, *many, *fresh, template=1, worker=workers * 3 // 4))
    assert len(actions) >= workers // 4, "a decision with nothing to do costs nothing"
    return Counted.looks


@pytest.mark.parametrize("facts", [{}, {"retiring": "too large"}, {"deadline": 1.0}])
def test_the_cost_grows_with_the_number_of_children_and_no_more(facts: dict[str, object]) -> None:
    small, large = _looks(64, **facts), _looks(1024, **facts)
    assert small > 64
    assert large <= 16 * small * 1.1


@given(
    st.lists(
        st.builds(
            ChildView,
            key=st.integers(1, 1000),
            role=st.sampled_from(["template", "dispatcher", "http", "worker"]),
            slot=st.integers(0, 4),
            generation=st.integers(0, 2),
            phase=st.sampled_from(["starting", "ready", "draining"]),
            started_at=st.sampled_from([1.0, 39.0, 99.0]),
            drained_at=st.sampled_from([1.0, 69.0, 99.0]),
            deadline=st.sampled_from([0.0, 98.0, 200.0]),
            killed_at=st.sampled_from([0.0, 0.0, 50.0, 99.0]),
            retiring=st.sampled_from(["", "", "too large"]),
        ),
        max_size=12,
        unique_by=lambda one: one.key,
    ),
    st.sampled_from(["no", "graceful", "quick"]),
    st.dictionaries(st.tuples(st.just("worker"), st.integers(0, 3)), st.sampled_from([50.0, 150.0])),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_seen_the_decision_makes_sense(
    children: list[ChildView], stopping: Stopping, resting: dict[Slot, float]
) -> None:
    seen = dataclasses.replace(
        snapshot(*children, stopping=stopping, template=1, dispatcher=1, http=2, worker=3), resting=resting
    )
    actions = decide(seen)
    assert actions == decide(seen)
    ended = [action.key for action in actions if isinstance(action, Drain | Kill)]
    assert len(ended) == len(set(ended))
    untouched = {one.key for one in children if not one.killed_at}
    assert set(ended) <= untouched
    started = [(action.role, action.slot) for action in actions if isinstance(action, Start)]
    assert len(started) == len(set(started))
    assert not started or stopping == "no"
    assert all(resting.get(slot, 0.0) <= seen.now for slot in started)
    if stopping == "quick":
        assert set(ended) == untouched
