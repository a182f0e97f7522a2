# SPDX-License-Identifier: GPL-2.0-or-later
"""When a child that works, or seems to, must be replaced or ended: memory, age, silence, idle burning.

Each rule is a function of its own: it looks at one child and says why it must go, with the
figures that led to it, or nothing. `retire` lets a successor start first; `end` does not wait.
"""

from __future__ import annotations

from collections.abc import Callable

from qgsd.master.snapshot import ChildView, Snapshot

_MIB = 1 << 20
# Retiring all workers at once would make the pause that recycling is to avoid.
_JITTER = 0.1
_BEATING = ("worker", "http", "dispatcher", "admin", "gate")
# Seconds. Somebody may continue a stopped process, but not its clients' patience.
_STOPPED = 2.0

Rule = Callable[[ChildView, Snapshot], str]


# Rules by which a child is ended at once.


def over_deadline(child: ChildView, snapshot: Snapshot) -> str:
    if not child.deadline or snapshot.now <= child.deadline + snapshot.limits.kill_grace:
        return ""
    return f"its request, or the project it loads, is {snapshot.now - child.deadline:.1f} s over the deadline"


def over_start_time(child: ChildView, snapshot: Snapshot) -> str:
    limit = snapshot.limits.start_timeout
    late = child.phase == "starting" and snapshot.now > child.started_at + limit
    return f"it was not ready within {limit:g} s" if late else ""


def over_stop_time(child: ChildView, snapshot: Snapshot) -> str:
    limit = snapshot.limits.stop_timeout
    late = child.phase == "draining" and snapshot.now > child.drained_at + limit
    return f"it had not finished {limit:g} s after being asked to" if late else ""


def far_over_memory(child: ChildView, snapshot: Snapshot) -> str:
    limit, memory = snapshot.limits.memory_hard_limit, child.vitals.memory
    if child.role != "worker" or not limit or memory <= limit:
        return ""
    return f"it uses {memory // _MIB} MiB, the hard limit is {limit // _MIB} MiB"


def silent(child: ChildView, snapshot: Snapshot) -> str:
    """Idle, but it has not beaten: stopped, or locked up. A busy worker cannot beat; it has its deadline."""
    limit = snapshot.limits.beat_timeout
    watched = child.phase != "starting" and child.role in _BEATING and not child.deadline
    if not limit or not watched:
        return ""
    quiet = snapshot.now - max(child.vitals.beat_at, child.ready_at, snapshot.watched_since)
    return f"it is idle and has shown no life for {quiet:.1f} s" if quiet > limit else ""


def halted(child: ChildView, snapshot: Snapshot) -> str:
    """It does nothing by somebody's signal, busy or not: there is no need to wait for its deadline."""
    since = child.vitals.stopped_since
    if not snapshot.limits.beat_timeout or not since or snapshot.now - since <= _STOPPED:
        return ""
    return f"it has been stopped by a signal (SIGSTOP) for {snapshot.now - since:.1f} s"


def stuck(child: ChildView, snapshot: Snapshot) -> str:
    limit, since = snapshot.limits.stall_timeout, child.vitals.stuck_since
    if child.role != "worker" or not limit or not since or snapshot.now - since <= limit:
        return ""
    return f"it has a request but has used no processor time for {snapshot.now - since:.1f} s"


# Rules by which a worker is retired: its successor starts first.


def over_memory(child: ChildView, snapshot: Snapshot) -> str:
    limit, memory = snapshot.limits.memory_limit, child.vitals.memory
    if not limit or memory <= limit:
        return ""
    return f"it uses {memory // _MIB} MiB, the limit is {limit // _MIB} MiB"


def spread(child: ChildView) -> float:
    """A factor from 1 to 1.1, by row, so that workers of one age do not all go at one time."""
    return 1.0 + _JITTER * (child.key * 7919 % 101) / 100


def over_requests(child: ChildView, snapshot: Snapshot) -> str:
    limit, requests = snapshot.limits.max_requests, child.vitals.requests
    if not limit or requests < limit * spread(child):
        return ""
    return f"it has served {requests} requests, the limit is {limit}"


def over_age(child: ChildView, snapshot: Snapshot) -> str:
    limit, age = snapshot.limits.max_age, snapshot.now - child.started_at
    if not limit or age < limit * spread(child):
        return ""
    return f"it is {age:.0f} s old, the limit is {limit:g} s"


def burning(child: ChildView, snapshot: Snapshot) -> str:
    limit, since = snapshot.limits.burn_timeout, child.vitals.burning_since
    if not limit or not since or snapshot.now - since <= limit:
        return ""
    return f"it is idle but has used a processor for {snapshot.now - since:.0f} s"


ENDING: dict[str, Rule] = {
    "deadline": over_deadline,
    "start_timeout": over_start_time,
    "stop_timeout": over_stop_time,
    "memory": far_over_memory,
    "silent": silent,
    "halted": halted,
    "stuck": stuck,
}
RETIRING: dict[str, Rule] = {
    "memory": over_memory,
    "requests": over_requests,
    "age": over_age,
    "burning": burning,
}
# The largest worker when memory as a whole is short.
PRESSURE = "pressure"


def why_end(child: ChildView, snapshot: Snapshot) -> tuple[str, str]:
    """The cause as a word and the reason in words; empty for a child that may live."""
    for cause, rule in ENDING.items():
        if reason := rule(child, snapshot):
            return cause, reason
    return "", ""


def why_retire(child: ChildView, snapshot: Snapshot) -> tuple[str, str]:
    """The cause as a word and the reason in words; empty for a worker that may go on."""
    for cause, rule in RETIRING.items():
        if reason := rule(child, snapshot):
            return cause, reason
    return "", ""


def under_pressure(snapshot: Snapshot) -> tuple[int, str] | None:
    """The largest worker and the reason, when memory as a whole is above the high-water mark.

    One at a time: what it frees shows only once it has gone.
    """
    mark, share = snapshot.limits.high_water, snapshot.memory.share
    workers = [child for child in snapshot.children if child.role == "worker"]
    if not mark or share <= mark or any(w.retiring or w.phase != "ready" or w.killed_at for w in workers):
        return None
    largest = max(workers, key=lambda worker: worker.vitals.memory, default=None)
    if largest is None:
        return None
    used = f"{100 * share:.0f} % of {snapshot.memory.total // _MIB} MiB are in use"
    return (
        largest.key,
        f"{used}, the mark is {100 * mark:.0f} %; it is the largest, {largest.vitals.memory // _MIB} MiB",
    )
