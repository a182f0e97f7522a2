# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's decisions: single rules by example, and what holds for any history in a small world."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qgsd.master import backoff
from qgsd.master.policy import Drain, Kill, Start, decide
from qgsd.master.snapshot import (
    ChildView,
    Limits,
    Role,
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
    assert kill == Kill(1, "deadline", "its request is 2.5 s over the deadline")
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


# Any history, in a world that obeys.


@dataclass
class World:
    """Children do as they are told, with time between order and effect."""

    now: float = 0.0
    generation: int = 1
    targets: dict[Role, int] = field(
        default_factory=lambda: {"dispatcher": 1, "http": 1, "template": 1, "worker": 2}
    )
    children: dict[int, ChildView] = field(default_factory=dict)
    past: dict[tuple[Role, int], backoff.Record] = field(default_factory=dict)
    resting: dict[tuple[Role, int], float] = field(default_factory=dict)
    serial: int = 0

    def snapshot(self, stopping: Stopping = "no") -> Snapshot:
        targets = Targets(self.generation, dict(self.targets))
        children = tuple(self.children.values())
        return Snapshot(self.now, stopping, targets, LIMITS, children, dict(self.resting))

    def act(self, stopping: Stopping = "no") -> int:
        seen = self.snapshot(stopping)
        actions = decide(seen)
        assert actions == decide(seen), "the same snapshot, another decision"
        for action in actions:
            if isinstance(action, Drain) and stopping == "no":
                self.judge_drain(self.children[action.key])
            self.obey(action)
        return len(actions)

    def obey(self, action: Start | Drain | Kill) -> None:
        match action:
            case Start(role, slot):
                assert self.resting.get((role, slot), 0.0) <= self.now, "a resting slot was started"
                self.start(role, slot)
            case Drain(key):
                self.change(key, phase="draining", drained_at=self.now)
            case Kill(key):
                assert not self.is_healthy(self.children[key]), "a healthy child was killed"
                del self.children[key]

    def start(self, role: Role, slot: int) -> None:
        generation = self.generation
        if role == "worker":
            ready = [
                c.generation for c in self.children.values() if c.role == "template" and c.phase == "ready"
            ]
            assert ready, "a fork without a template"
            generation = max(ready)
        self.serial += 1
        self.children[self.serial] = child(
            self.serial, role, slot, generation=generation, phase="starting", started_at=self.now
        )

    def judge_drain(self, leaving: ChildView) -> None:
        if leaving.slot >= self.targets.get(leaving.role, 0):
            return
        assert leaving.generation != self.generation, "a healthy child was drained"
        successors = [
            c for c in self.children.values()
            if (c.role, c.slot) == (leaving.role, leaving.slot)
            and (c.phase, c.generation) == ("ready", self.generation)
        ]  # fmt: skip
        assert successors, "a child was drained before its successor was ready"

    def is_healthy(self, one: ChildView) -> bool:
        overdue = one.deadline and self.now > one.deadline + LIMITS.kill_grace
        late = one.phase == "starting" and self.now > one.started_at + LIMITS.start_timeout
        slow = one.phase == "draining" and self.now > one.drained_at + LIMITS.stop_timeout
        return not (overdue or late or slow)

    def change(self, key: int, **facts: object) -> None:
        self.children[key] = dataclasses.replace(self.children[key], **facts)  # type: ignore[arg-type]

    def live(self, seconds: float) -> None:
        """Time passes: what starts becomes ready, what drains goes."""
        self.now += seconds
        for key, one in list(self.children.items()):
            if one.phase == "starting":
                self.change(key, phase="ready")
            elif one.phase == "draining":
                del self.children[key]


class Supervision(RuleBasedStateMachine):
    """Crashes, scaling and restarts in any order; left alone, everything comes right."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule()
    def decide(self) -> None:
        self.world.act()

    @rule(seconds=st.floats(0.01, 3.0))
    def live(self, seconds: float) -> None:
        self.world.live(seconds)

    @rule(workers=st.integers(0, 9))
    def scale(self, workers: int) -> None:
        self.world.targets["worker"] = workers

    @rule()
    def restart(self) -> None:
        self.world.generation += 1

    @precondition(lambda self: self.world.children)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.children)))
        dead = self.world.children.pop(key)
        slot = (dead.role, dead.slot)
        past = self.world.past.get(slot, backoff.Record())
        self.world.past[slot] = backoff.after_crash(past, served=None)
        self.world.resting[slot] = self.world.now + backoff.pause(self.world.past[slot], 30.0)

    @precondition(lambda self: self.world.children)
    @rule(data=st.data(), ago=st.floats(0.0, 5.0))
    def overrun(self, data: st.DataObject, ago: float) -> None:
        workers = [key for key, one in sorted(self.world.children.items()) if one.role == "worker"]
        if workers:
            key = data.draw(st.sampled_from(workers))
            self.world.change(key, deadline=max(0.001, self.world.now - ago))

    @invariant()
    def successors_are_few(self) -> None:
        children = self.world.children.values()
        wanted = self.world.generation
        workers = [one for one in children if one.role == "worker" and one.phase != "draining"]
        outdated = {one.slot for one in workers if one.generation != wanted}
        beside = [one for one in workers if one.generation == wanted and one.phase == "starting"]
        beside = [one for one in beside if one.slot in outdated]
        most = max(1, max(self.world.targets["worker"], 9) // 4)
        assert len(beside) <= most

    def teardown(self) -> None:
        world = self.world
        for key, one in list(world.children.items()):
            world.change(key, deadline=0.0) if one.deadline else None
        for _ in range(60):
            if not world.act() and all(one.phase == "ready" for one in world.children.values()):
                break
            world.live(1.0)
        # A slot may have to rest first.
        world.now += 31.0
        for _ in range(30):
            world.act()
            world.live(1.0)
        filled = sorted((one.role, one.slot) for one in world.children.values())
        assert filled == sorted(
            (role, slot) for role, count in world.targets.items() for slot in range(count)
        )
        assert {one.generation for one in world.children.values()} <= {world.generation}
        self.stop()

    def stop(self) -> None:
        for _ in range(10):
            self.world.act("graceful")
            self.world.live(1.0)
        assert not self.world.children


Supervision.TestCase.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
TestSupervision = Supervision.TestCase


@given(served=st.lists(st.one_of(st.none(), st.floats(0.0, 100.0)), max_size=50))
def test_the_pause_grows_to_its_bound_and_ends_with_good_service(served: list[float | None]) -> None:
    record = backoff.Record()
    for seconds in served:
        before = backoff.pause(record, 30.0)
        record = backoff.after_crash(record, served=seconds)
        after = backoff.pause(record, 30.0)
        if seconds is not None and seconds >= backoff.GOOD_SERVICE:
            assert after == 0.0
        else:
            assert before <= after <= 30.0
