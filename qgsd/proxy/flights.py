# SPDX-License-Identifier: GPL-2.0-or-later
"""One rendering and all the requests it is for.

Requests that ask for the same while the answer has not begun share it (single flight). Each keeps its own
client, its own deadline, and its own end; the work ends when the last of them has.
"""

from __future__ import annotations

from msgspec import Struct

from qgsd.proxy.decisions import Arrival

# Seconds in all for which a rider that reads slowly may hold up the others.
_PATIENCE = 5.0


class Rider(Struct, eq=False):
    """A request that has not ended. Times in seconds of the scheduler's clock.

    `held_at`: since when its client has no room for more; `patience` is what is left of the time for which
    the others wait for it. `alarm`: when it is looked at again.
    """

    arrival: Arrival
    arrived_at: float
    deadline: float
    queue_deadline: float
    held_at: float | None = None
    patience: float = _PATIENCE
    alarm: float = 0.0

    @property
    def impatient_at(self) -> float:
        """When it has held up the others for too long."""
        return float("inf") if self.held_at is None else self.held_at + self.patience


class Job(Struct, eq=False):
    """What a worker is to do once, for one request or several. `worker` is None while it waits.

    `arrival` is the request that the worker is sent; it may end before the others. It runs on this
    `generation` of its project. `begun`: it has been at a worker, which may have been lost since;
    `started`: its answer has. `passed_at`: when an idle worker was first left to others because one with
    the project open will be free soon; `put_off_until`: others go first whose projects are open;
    `only_warm`: one that has to load it will not do. `ahead`: its worker is to run it next;
    `recalled`: it was so once. `beside`: its neighbours, of which one picture is made with its own.
    """

    arrival: Arrival
    riders: dict[str, Rider] = {}
    attempt: int = 0
    worker: bytes | None = None
    began_at: float = 0.0
    begun: bool = False
    started: bool = False
    ahead: bool = False
    recalled: bool = False
    timed_out: bool = False
    generation: int = 0
    passed_at: float | None = None
    put_off_until: float | None = None
    only_warm: bool = False
    beside: tuple[Job, ...] = ()

    @property
    def id(self) -> str:
        return self.arrival.id

    @property
    def first(self) -> Rider:
        """The one that has been here for longest; the others wait for what is done for it."""
        return next(iter(self.riders.values()))

    @property
    def deadline(self) -> float:
        """When the last of its riders will have given up."""
        return max(rider.deadline for rider in self.riders.values())

    def takes(self, timeout: float, now: float) -> bool:
        """One more may ride: its answer has not begun, and will before one begun now.

        Work that has taken half of a request's time already is likely to be given up before it is done.
        """
        return not self.started and (self.worker is None or now - self.began_at <= timeout / 2)

    @property
    def is_held(self) -> bool:
        """Some client has no room for more of the answer."""
        return any(rider.held_at is not None for rider in self.riders.values())

    def is_left_behind(self, rider: Rider, now: float) -> bool:
        """The others have waited for it long enough."""
        waiting = any(other.held_at is None for other in self.riders.values())
        return waiting and now >= rider.impatient_at

    def hold(self, rider: Rider, now: float) -> None:
        if rider.held_at is None:
            rider.held_at = now

    def resume(self, rider: Rider, now: float) -> None:
        if rider.held_at is not None:
            rider.patience -= now - rider.held_at
            rider.held_at = None
