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
from dataclasses import dataclass, replace

from qgsd.master import recycling
from qgsd.master.snapshot import ChildView, Role, Slot, Snapshot


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
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Replace the worker: a successor starts beside it, then it drains; `cause` as for `Kill`."""

    key: int
    reason: str
    cause: str = ""


Action = Start | Drain | Kill | Retire


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
    retirements = _retirements(snapshot)
    reasons = {retire.key: retire.reason for retire in retirements}
    seen = (replace(child, retiring=reasons.get(child.key, child.retiring)) for child in snapshot.children)
    snapshot = replace(snapshot, children=tuple(seen))
    slots = _by_slot(snapshot.children)
    actions: list[Action] = [*kills, *retirements]
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
    judged = (
        (child, *recycling.why_end(child, snapshot)) for child in snapshot.children if not child.killed_at
    )
    return [Kill(child.key, cause, reason) for child, cause, reason in judged if cause]


def _retirements(snapshot: Snapshot) -> list[Retire]:
    workers = [
        child
        for child in snapshot.children
        if child.role == "worker" and child.phase == "ready" and not child.retiring and not child.killed_at
    ]
    judged = ((child.key, *recycling.why_retire(child, snapshot)) for child in workers)
    retirements = [Retire(key, reason, cause) for key, cause, reason in judged if cause]
    if not retirements and (pressure := recycling.under_pressure(snapshot)):
        retirements.append(Retire(*pressure, recycling.PRESSURE))
    return retirements


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
        current = [child for child in living if not _is_outdated(child, wanted)]
        outdated = [child for child in living if _is_outdated(child, wanted)]
        if any(child.phase == "ready" for child in current):
            actions += [
                Drain(child.key, child.retiring or "its successor is ready", snapshot.limits.linger)
                for child in outdated
            ]
        elif not current and _may_start(snapshot, slots, role, slot, replacing=bool(outdated)):
            surge -= bool(outdated)
            if not outdated or surge >= 0:
                actions.append(Start(role, slot))
    return actions


def _surge(count: int) -> int:
    """How many successors may start beside their predecessors at one time."""
    return max(1, count // 4)


def _is_outdated(child: ChildView, generation: int) -> bool:
    return child.generation != generation or bool(child.retiring)


def _has_successor(present: list[ChildView], generation: int) -> bool:
    """A child as wanted is starting where an outdated one still serves."""
    living = [child for child in present if not child.killed_at]
    outdated = [_is_outdated(child, generation) for child in living]
    starting = [child.phase == "starting" for child in living]
    return any(outdated) and any(s and not o for s, o in zip(starting, outdated, strict=True))


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
