# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's brain: which children to start, to drain and to kill, and why.

Pure: one snapshot in, actions out, each with a reason in words. It is asked again after
every change and at every tick, so it never plans ahead: what is not yet right is put
right by the next decision.

A *generation* counts restarts. A child of an older generation is replaced: its successor
starts beside it, and only when that is ready is the old one drained. So a restart never
leaves a slot empty, and a new version that does not start takes nothing away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Role = Literal["template", "dispatcher", "http", "admin", "worker"]
Phase = Literal["starting", "ready", "draining"]
Stopping = Literal["no", "graceful", "quick"]
Slot = tuple[Role, int]


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child as the policy sees it. Times in seconds of one clock, 0 for what has not happened.

    `deadline`: when its request must be over, 0 when it runs none.
    """

    key: int
    role: Role
    slot: int
    generation: int
    phase: Phase
    started_at: float
    drained_at: float = 0.0
    deadline: float = 0.0
    killed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Targets:
    """What the operator wants: how many children of each role, all of them of `generation`."""

    generation: int
    children: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds."""

    start_timeout: float
    kill_grace: float
    stop_timeout: float
    linger: float = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision depends on. `resting`: slots that may not start before the given time."""

    now: float
    stopping: Stopping
    targets: Targets
    limits: Limits
    children: tuple[ChildView, ...]
    resting: Mapping[Slot, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a child in this slot."""

    role: Role
    slot: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let the child finish and go."""

    key: int
    reason: str
    linger: float = 0.0


@dataclass(frozen=True, slots=True)
class Kill:
    """End the child now; `cause` is a word for events and counters."""

    key: int
    cause: Literal["deadline", "start_timeout", "stop_timeout", "stopped"]
    reason: str


Action = Start | Drain | Kill


def decide(snapshot: Snapshot) -> list[Action]:
    """What to do now. Asking again about the same snapshot gives the same answer."""
    if snapshot.stopping == "quick":
        return [_stop_at_once(child) for child in snapshot.children if not child.killed_at]
    kills = _kills(snapshot)
    doomed = {kill.key: snapshot.now for kill in kills}
    seen = (replace(child, killed_at=doomed.get(child.key, child.killed_at)) for child in snapshot.children)
    snapshot = replace(snapshot, children=tuple(seen))
    if snapshot.stopping == "graceful":
        return [*kills, *_stop_gracefully(snapshot)]
    slots = _by_slot(snapshot.children)
    actions: list[Action] = list(kills)
    for role, count in snapshot.targets.children.items():
        actions += _fill(snapshot, slots, role, count)
        actions += _empty(snapshot, role, count)
    return actions


_Slots = Mapping[Slot, list[ChildView]]


def _by_slot(children: tuple[ChildView, ...]) -> _Slots:
    """The children in each slot: not those that drain, but those killed whose process still exists."""
    slots: dict[Slot, list[ChildView]] = defaultdict(list)
    for child in children:
        if child.phase != "draining" or child.killed_at:
            slots[child.role, child.slot].append(child)
    return slots


# Who has to be killed.


def _kills(snapshot: Snapshot) -> list[Kill]:
    kills = (
        _kill(child, snapshot.now, snapshot.limits) for child in snapshot.children if not child.killed_at
    )
    return [kill for kill in kills if kill is not None]


def _kill(child: ChildView, now: float, limits: Limits) -> Kill | None:
    if child.deadline and now > child.deadline + limits.kill_grace:
        over = now - child.deadline
        return Kill(child.key, "deadline", f"its request is {over:.1f} s over the deadline")
    if child.phase == "starting" and now > child.started_at + limits.start_timeout:
        return Kill(child.key, "start_timeout", f"it was not ready within {limits.start_timeout:g} s")
    if child.phase == "draining" and now > child.drained_at + limits.stop_timeout:
        return Kill(
            child.key, "stop_timeout", f"it had not finished {limits.stop_timeout:g} s after being asked to"
        )
    return None


def _stop_at_once(child: ChildView) -> Kill:
    return Kill(child.key, "stopped", "the instance stops at once")


# The end of the instance.


def _stop_gracefully(snapshot: Snapshot) -> list[Action]:
    """First the http children, which hold the clients; then the workers; then those who served both."""
    present = {child.role for child in snapshot.children}
    first = next((role for role in ("http", "worker") if role in present), None)
    leaving = [child for child in snapshot.children if first is None or child.role == first]
    return [
        Drain(child.key, "the instance stops")
        for child in leaving
        if child.phase != "draining" and not child.killed_at
    ]


# Filling the slots.

_DYING = 2.0


def _fill(snapshot: Snapshot, slots: _Slots, role: Role, count: int) -> list[Action]:
    actions: list[Action] = []
    wanted = snapshot.targets.generation
    surge = _surge(count) - sum(_has_successor(slots.get((role, slot), []), wanted) for slot in range(count))
    for slot in range(count):
        present = slots.get((role, slot), [])
        if any(child.killed_at and snapshot.now - child.killed_at < _DYING for child in present):
            # Its end decides how long the slot has to rest. A process that SIGKILL does not end
            # at once hangs in the kernel; it is not waited for.
            continue
        living = [child for child in present if not child.killed_at]
        current = [child for child in living if child.generation == wanted]
        outdated = [child for child in living if child.generation != wanted]
        if any(child.phase == "ready" for child in current):
            actions += [
                Drain(child.key, "its successor is ready", snapshot.limits.linger) for child in outdated
            ]
        elif not current and _may_start(snapshot, slots, role, slot, replacing=bool(outdated)):
            surge -= bool(outdated)
            if not outdated or surge >= 0:
                actions.append(Start(role, slot))
    return actions


def _surge(count: int) -> int:
    """How many successors may start beside their predecessors at one time."""
    return max(1, count // 4)


def _has_successor(living: list[ChildView], generation: int) -> bool:
    """A child of the wanted generation is starting where an older one still serves."""
    living = [child for child in living if not child.killed_at]
    starting = any(child.phase == "starting" and child.generation == generation for child in living)
    return starting and any(child.generation != generation for child in living)


def _may_start(snapshot: Snapshot, slots: _Slots, role: Role, slot: int, *, replacing: bool) -> bool:
    if snapshot.resting.get((role, slot), 0.0) > snapshot.now:
        return False
    if role != "worker":
        return True
    templates = [
        child for child in slots.get(("template", 0), []) if child.phase == "ready" and not child.killed_at
    ]
    # An empty slot takes a worker of whatever template is there; a successor only one of the new one.
    return any(not replacing or child.generation == snapshot.targets.generation for child in templates)


# Emptying the slots that are too many.


def _empty(snapshot: Snapshot, role: Role, count: int) -> list[Action]:
    actions: list[Action] = []
    for child in snapshot.children:
        staying = child.phase != "draining" and not child.killed_at
        if child.role == role and staying and child.slot >= count:
            actions.append(Drain(child.key, f"scaled to {count}", snapshot.limits.linger))
    return actions
