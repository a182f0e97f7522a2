# SPDX-License-Identifier: GPL-2.0-or-later
"""What the master sees and wants, as the pure policies take it. Times are seconds of one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["template", "dispatcher", "http", "admin", "gate", "worker"]
Phase = Literal["starting", "ready", "draining"]
Stopping = Literal["no", "graceful", "quick"]
Slot = tuple[Role, int]


@dataclass(frozen=True, slots=True)
class Vitals:
    """A child's health as measured from outside and from its row.

    `memory` in bytes (resident, less the pages of files), `beat_at` when it last showed
    life, `burning_since` since when it has used a processor although idle, `stuck_since` since when it
    has used none although busy with one request, `stopped_since` since when it has been seen stopped
    (SIGSTOP). 0 for what is not so.
    """

    memory: int = 0
    beat_at: float = 0.0
    burning_since: float = 0.0
    stuck_since: float = 0.0
    requests: int = 0
    stopped_since: float = 0.0


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child as the policies see it; times are 0 for what has not happened.

    `deadline`: when its request must be over, 0 when it runs none. `retiring`: why it is to be
    replaced, once that has been decided.
    """

    key: int
    role: Role
    slot: int
    generation: int
    phase: Phase
    started_at: float
    ready_at: float = 0.0
    drained_at: float = 0.0
    deadline: float = 0.0
    killed_at: float = 0.0
    busy: bool = False
    retiring: str = ""
    vitals: Vitals = Vitals()


@dataclass(frozen=True, slots=True)
class Targets:
    """What the operator wants: how many children of each role, all of them of `generation`."""

    generation: int
    children: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's bounds: seconds and bytes. 0 means no bound, except for the grace times."""

    start_timeout: float
    kill_grace: float
    stop_timeout: float
    linger: float = 5.0
    beat_timeout: float = 0.0
    burn_timeout: float = 0.0
    stall_timeout: float = 0.0
    memory_limit: int = 0
    memory_hard_limit: int = 0
    high_water: float = 0.0
    max_requests: int = 0
    max_age: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use and to be had: of the control group where it has a limit, else of the machine."""

    used: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        return self.used / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision depends on.

    `resting`: slots that may not start before the given time. `watched_since`: since when the master
    itself has been awake without a gap; silence before that says nothing about a child.
    """

    now: float
    stopping: Stopping
    targets: Targets
    limits: Limits
    children: tuple[ChildView, ...]
    resting: Mapping[Slot, float] = field(default_factory=dict)
    memory: Memory = Memory()
    watched_since: float = 0.0
