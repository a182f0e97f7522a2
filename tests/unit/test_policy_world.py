# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's decisions in any history of a small world, whose children obey, crash, hang and grow.

Every decision is judged when it is made; left alone afterwards, the world comes right.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qgsd.master import backoff
from qgsd.master.policy import Action, Drain, Kill, Retire, Start, decide
from qgsd.master.snapshot import (
    ChildView,
    Limits,
    Memory,
    Phase,
    Role,
    Slot,
    Snapshot,
    Stopping,
    Targets,
    Vitals,
)

LIMITS = Limits(
    start_timeout=60.0, kill_grace=1.0, stop_timeout=30.0, memory_limit=500, memory_hard_limit=900,
    high_water=0.9,
)  # fmt: skip
DYING = 2.0
PLENTY = Memory(10, 100)


@dataclass
class World:
    """Children do as they are told, with time between order and effect."""

    now: float = 1000.0
    generation: int = 1
    targets: dict[Role, int] = field(default_factory=dict)
    children: dict[int, ChildView] = field(default_factory=dict)
    undead: set[int] = field(default_factory=set)
    past: dict[Slot, backoff.Record] = field(default_factory=dict)
    resting: dict[Slot, float] = field(default_factory=dict)
    memory: Memory = PLENTY
    serial: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def living(self, role: Role | None = None, slot: int | None = None, phase: Phase | None = None):  # type: ignore[no-untyped-def]
        return [
            one for one in self.children.values()
            if not one.killed_at and role in (None, one.role) and slot in (None, one.slot)
            and phase in (None, one.phase)
        ]  # fmt: skip

    def slots(self) -> list[Slot]:
        return [(role, slot) for role, count in self.targets.items() for slot in range(count)]

    def is_current(self, one: ChildView) -> bool:
        return one.generation == self.generation and not one.retiring

    # Deciding, and judging what was decided.

    def act(self, stopping: Stopping = "no") -> list[Action]:
        targets = Targets(self.generation, dict(self.targets))
        children = tuple(self.children.values())
        seen = Snapshot(self.now, stopping, targets, LIMITS, children, dict(self.resting), memory=self.memory)
        actions = decide(seen)
        assert actions == decide(seen), "the same snapshot, another decision"
        self.judge(actions, stopping)
        return actions

    def judge(self, actions: list[Action], stopping: Stopping) -> None:
        serving = {slot: self.living(*slot, phase="ready") for slot in self.slots()}
        starts = {(action.role, action.slot) for action in actions if isinstance(action, Start)}
        keys = [action.key for action in actions if isinstance(action, Drain | Kill)]
        assert len(keys) == len(set(keys)), "one child was ended twice"
        assert stopping == "no" or not starts, "somebody was started although all is to end"
        for action in actions:
            self.seen[action.cause if isinstance(action, Kill) else type(action).__name__] += 1
            self.judge_one(action, stopping)
            self.obey(action)
        if stopping == "no":
            self.judge_service(serving)
            self.judge_surge(starts)

    def judge_one(self, action: Action, stopping: Stopping) -> None:
        match action:
            case Start(role, slot):
                self.judge_start(role, slot)
            case Drain(key, reason):
                assert reason
                one = self.children[key]
                assert not one.killed_at
                assert one.phase != "draining", "it was told already"
                if stopping == "no":
                    surplus = one.slot >= self.targets[one.role]
                    assert surplus or not self.is_current(one), "a healthy child was drained"
                else:
                    self.judge_order(one)
            case Kill(key, cause, reason):
                assert reason
                assert not self.children[key].killed_at, "it was killed already"
                wrong = self.faults(self.children[key])
                assert cause == "stopped" if stopping == "quick" else cause in wrong, (
                    "a healthy child was killed"
                )
            case Retire(key):
                one = self.children[key]
                assert one.role == "worker"
                assert not one.retiring
                assert one.vitals.memory > LIMITS.memory_limit or self.memory.share > LIMITS.high_water

    def judge_start(self, role: Role, slot: int) -> None:
        assert self.resting.get((role, slot), 0.0) <= self.now, "a resting slot was started"
        assert slot < self.targets[role], "a slot too many"
        present = self.living(role, slot)
        assert not [one for one in present if self.is_current(one) and one.phase != "draining"]
        dying = [
            one for one in self.children.values() if (one.role, one.slot) == (role, slot) and one.killed_at
        ]
        assert all(self.now - one.killed_at >= DYING for one in dying), "the dead one has not gone yet"
        if role == "worker":
            assert self.template_generation(), "a fork without a template"

    def judge_order(self, one: ChildView) -> None:
        """The end of the instance goes from the clients inwards."""
        present = {child.role for child in self.children.values()}
        if one.role != "http":
            assert "http" not in present, f"{one.role} was drained while clients are served"
        if one.role not in ("http", "worker"):
            assert "worker" not in present, f"{one.role} was drained while workers work"

    def judge_service(self, serving: dict[Slot, list[ChildView]]) -> None:
        """Who serves goes on until its successor is ready, unless it had to be killed."""
        for slot, before in serving.items():
            if any(not self.children[one.key].killed_at for one in before):
                assert self.living(*slot, phase="ready"), f"{slot} serves no more"

    def judge_surge(self, starts: set[Slot]) -> None:
        for role, count in self.targets.items():
            beside = {(role, slot) for slot in range(count) if self.is_being_replaced(role, slot)}
            assert not beside & starts or len(beside) <= max(1, count // 4), "too many start at one time"

    def is_being_replaced(self, role: Role, slot: int) -> bool:
        staying = [one for one in self.living(role, slot) if one.phase != "draining"]
        current = [one for one in staying if self.is_current(one)]
        return len(current) < len(staying) and {one.phase for one in current} == {"starting"}

    def faults(self, one: ChildView) -> set[str]:
        """The causes for which this child may be killed."""
        found = {
            "deadline": one.deadline and self.now > one.deadline + LIMITS.kill_grace,
            "start_timeout": one.phase == "starting" and self.now > one.started_at + LIMITS.start_timeout,
            "stop_timeout": one.phase == "draining" and self.now > one.drained_at + LIMITS.stop_timeout,
            "memory": one.role == "worker" and one.vitals.memory > LIMITS.memory_hard_limit,
        }
        return {cause for cause, true in found.items() if true}

    # Obeying.

    def obey(self, action: Action) -> None:
        match action:
            case Start(role, slot):
                self.start(role, slot)
            case Drain(key):
                self.change(key, phase="draining", drained_at=self.now)
            case Kill(key):
                self.change(key, killed_at=self.now)
            case Retire(key, reason):
                self.change(key, retiring=reason)

    def template_generation(self) -> int:
        return max((one.generation for one in self.living("template", 0, "ready")), default=0)

    def start(self, role: Role, slot: int) -> None:
        generation = self.template_generation() if role == "worker" else self.generation
        beside = [one for one in self.living(role, slot) if one.phase != "draining"]
        assert not beside or generation == self.generation, "a successor that will be replaced itself"
        self.serial += 1
        self.children[self.serial] = ChildView(self.serial, role, slot, generation, "starting", self.now)

    def change(self, key: int, **facts: object) -> None:
        self.children[key] = dataclasses.replace(self.children[key], **facts)  # type: ignore[arg-type]

    # What happens by itself.

    def progress(self, key: int) -> None:
        """What starts becomes ready, what drains or was killed goes."""
        one = self.children[key]
        if key in self.undead:
            return
        if one.killed_at or one.phase == "draining":
            del self.children[key]
        elif one.phase == "starting":
            self.change(key, phase="ready", ready_at=self.now)

    def live(self, seconds: float) -> None:
        self.now += seconds
        for key in list(self.children):
            self.progress(key)

    def crash(self, key: int) -> None:
        dead = self.children.pop(key)
        slot = (dead.role, dead.slot)
        served = self.now - dead.ready_at if dead.ready_at else None
        self.past[slot] = backoff.after_crash(self.past.get(slot, backoff.Record()), served=served)
        self.resting[slot] = self.now + backoff.pause(self.past[slot], 30.0)

    def calm_down(self) -> None:
        """The last request ends and memory is given back."""
        self.memory = PLENTY
        for key in self.children:
            self.change(key, deadline=0.0, vitals=Vitals())

    def settle(self, rounds: int, stopping: Stopping = "no") -> bool:
        """Whether there is nothing left to do after so many seconds at most."""
        for _ in range(rounds):
            idle = not self.act(stopping)
            resting = any(until > self.now for until in self.resting.values())
            here = [one for key, one in self.children.items() if key not in self.undead]
            if idle and not resting and all(one.phase == "ready" and stopping == "no" for one in here):
                return True
            self.live(1.0)
        return False


class Supervision(RuleBasedStateMachine):
    """Crashes, scaling, restarts, overruns and growth in any order."""

    total: ClassVar[Counter[str]] = Counter()

    @initialize(workers=st.integers(0, 9), http=st.integers(1, 5), settled=st.booleans())
    def begin(self, workers: int, http: int, settled: bool) -> None:
        targets: dict[Role, int] = {"dispatcher": 1, "http": http, "template": 1, "worker": workers}
        self.world = World(targets=targets, seen=self.total)
        if settled:
            assert self.world.settle(10)

    def any_child(self, data: st.DataObject, role: Role | None = None) -> int | None:
        keys = [one.key for one in self.world.living(role)]
        return data.draw(st.sampled_from(keys)) if keys else None

    @rule()
    def decide(self) -> None:
        self.world.act()

    @rule(seconds=st.floats(0.01, 3.0))
    def live(self, seconds: float) -> None:
        self.world.live(seconds)
        self.world.act()

    @rule(seconds=st.sampled_from([0.5, 1.9, 2.0, 31.0, 61.0]))
    def stand_still(self, seconds: float) -> None:
        """Time passes, and nobody gets on."""
        self.world.now += seconds
        self.world.act()

    @rule(data=st.data())
    def one_gets_on(self, data: st.DataObject) -> None:
        key = self.any_child(data)
        if key is not None:
            self.world.progress(key)
            self.world.act()

    @rule(role=st.sampled_from(["worker", "worker", "http"]), count=st.integers(0, 9))
    def scale(self, role: Role, count: int) -> None:
        self.world.targets[role] = max(count, role == "http")

    @rule()
    def restart(self) -> None:
        self.world.generation += 1

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        key = self.any_child(data)
        if key is not None:
            self.world.crash(key)

    @rule(data=st.data())
    def hang_for_ever(self, data: st.DataObject) -> None:
        """It does nothing any more, and does not even die of SIGKILL."""
        key = self.any_child(data, "worker")
        if key is not None and len(self.world.undead) < 2:
            self.world.undead.add(key)
            self.world.change(key, deadline=self.world.now)

    @rule(data=st.data(), ago=st.floats(0.0, 5.0))
    def overrun(self, data: st.DataObject, ago: float) -> None:
        key = self.any_child(data, "worker")
        if key is not None:
            self.world.change(key, deadline=self.world.now - ago)

    @rule(data=st.data(), memory=st.sampled_from([499, 501, 899, 901]))
    def grow(self, data: st.DataObject, memory: int) -> None:
        key = self.any_child(data, "worker")
        if key is not None:
            self.world.change(key, vitals=Vitals(memory=memory))

    @rule(used=st.sampled_from([50, 95]))
    def fill_memory(self, used: int) -> None:
        self.world.memory = Memory(used, 100)

    @precondition(lambda self: len(self.world.children) > 3)
    @rule(stopping=st.sampled_from(["graceful", "quick"]))
    def would_stop(self, stopping: Stopping) -> None:
        """From any state the instance can be ended."""
        other = copy.deepcopy(self.world)
        other.seen = Counter()
        other.undead.clear()
        before = {one.key for one in other.living()}
        actions = other.act(stopping)
        if stopping == "quick":
            assert {action.key for action in actions if isinstance(action, Kill)} == before
        assert other.settle(40, stopping)
        assert other.children == {}

    def teardown(self) -> None:
        """Left alone, everything comes right."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.now += LIMITS.kill_grace + DYING
        world.act()
        world.now += DYING
        world.calm_down()
        for key in world.undead & world.children.keys():
            if not world.children[key].killed_at:
                world.undead.discard(key)
        assert world.settle(150), "there is no end of it"
        assert sorted((one.role, one.slot) for one in world.living()) == sorted(world.slots())
        assert {(one.phase, world.is_current(one)) for one in world.living()} == {("ready", True)}


def test_any_history_comes_right() -> None:
    Supervision.total.clear()
    run_state_machine_as_test(
        Supervision, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
    common = {"Start", "Drain", "Retire", "deadline", "memory", "start_timeout"}
    assert common - set(Supervision.total) == set(), "these never happened: the histories are too tame"
