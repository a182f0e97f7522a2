# SPDX-License-Identifier: GPL-2.0-or-later
"""The workers that the scheduler knows: what each runs, and which are idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct


def machine_of(worker: bytes) -> bytes:
    """Where a worker runs, by its name (`worker.serve.Worker`); empty for the machine of the queue.

    >>> machine_of(b"OWS-SERVER:far:0:4711.5e:1"), machine_of(b"OWS-SERVER::0:4711:1")
    (b'far', b'')
    """
    parts = worker.rsplit(b":", 4)
    return parts[1] if len(parts) == 5 else b""


class Charge(Struct, frozen=True):
    """Who pays for a worker's time: since when, and how many seconds in advance. `kind` of the request."""

    tenant: str
    kind: str
    at: float
    seconds: float


class Next(Struct, frozen=True):
    """The request that a worker has next. `occupies`: the bulkhead counts it beside what runs now."""

    id: str
    key: str
    charge: Charge
    occupies: bool


class Worker(Struct, eq=False):
    """`job` is the request it runs, `errand` the project it loads; both of `key`.

    `loaded`: the request had to load its project, and began when that was done.
    `job` stays set when the client was answered without it. `done_at`: when it is expected to be idle.
    `next`: what it was handed before it asked; `recalled`: what it was to have next, and has not said yet
    that it did not begin it. `prefetches`: it understands both. `joins`: it can render neighbours as one;
    `joined` are those that it renders with `job` and has not answered, of `tiles` in all.
    """

    job: str | None = None
    errand: str | None = None
    key: str = ""
    depth: int = 0
    began_at: float = 0.0
    loaded: bool = False
    done_at: float = 0.0
    leaving: bool = False
    reserve: bool = False
    charge: Charge | None = None
    prefetches: bool = False
    next: Next | None = None
    recalled: str | None = None
    joins: bool = False
    joined: set[str] = set()
    tiles: int = 1

    @property
    def at_work(self) -> bool:
        return self.job is not None or self.errand is not None or self.recalled is not None

    def runs(self, id: str) -> bool:
        """The request, or with another one."""
        return self.job == id or id in self.joined

    @property
    def may_have_next(self) -> bool:
        """It runs a request, and can be handed another one."""
        free = self.next is None and self.recalled is None
        return self.prefetches and free and self.job is not None and not (self.leaving or self.reserve)


class Roster:
    """Workers by name, and how many of them are what."""

    def __init__(self) -> None:
        self._workers: dict[bytes, Worker] = {}
        # The last one in has finished last: its caches, and the machine's, are the warmest.
        self._idle: dict[bytes, None] = {}
        # Workers that may have a request next.
        self.able: dict[bytes, Worker] = {}
        self._depths: Counter[int] = Counter()
        self._leaving = 0
        self.reserve = 0
        self.errands = 0

    def __len__(self) -> int:
        return len(self._workers)

    def __contains__(self, name: bytes) -> bool:
        return name in self._workers

    def __getitem__(self, name: bytes) -> Worker:
        return self._workers[name]

    def get(self, name: bytes) -> Worker | None:
        return self._workers.get(name)

    def names(self) -> list[bytes]:
        return list(self._workers)

    @property
    def staying(self) -> int:
        """Workers that are not leaving."""
        return len(self._workers) - self._leaving

    @property
    def usual(self) -> int:
        """Those of them that are not in reserve."""
        return self.staying - self.reserve

    @property
    def at_work(self) -> int:
        """Workers that have something to do, those that leave included."""
        return len(self._workers) - len(self._idle)

    # Who is idle.

    @property
    def some_idle(self) -> bool:
        return bool(self._idle)

    def is_idle(self, name: bytes) -> bool:
        return name in self._idle

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    def idle(self) -> Iterator[bytes]:
        """Idle workers, the one that finished last first."""
        return reversed(self._idle)

    # Coming and going.

    def add(self, name: bytes, *, reserve: bool, prefetches: bool = False, joins: bool = False) -> None:
        self._workers[name] = Worker(reserve=reserve, prefetches=prefetches, joins=joins)
        self.reserve += reserve
        self._idle[name] = None

    def leave(self, name: bytes) -> None:
        """It takes nothing more."""
        worker = self._workers[name]
        if not worker.leaving:
            self._leaving += 1
            self.reserve -= worker.reserve
        worker.leaving = True
        self._idle.pop(name, None)
        self.able.pop(name, None)

    def remove(self, name: bytes) -> Worker:
        worker = self._workers.pop(name)
        self._leaving -= worker.leaving
        self.reserve -= worker.reserve and not worker.leaving
        self._idle.pop(name, None)
        self.able.pop(name, None)
        self._uncount(worker)
        return worker

    # Working.

    def begin_job(self, name: bytes, id: str, key: str, depth: int, charge: Charge) -> None:
        worker = self._begin(name, key, charge.at, charge.seconds)
        worker.job, worker.depth, worker.charge = id, depth, charge
        self._depths[depth] += 1
        self._sort_in(name, worker)

    def join(self, name: bytes, ids: Iterable[str]) -> None:
        """It renders these with what it has just begun."""
        worker = self._workers[name]
        worker.joined.update(ids)
        worker.tiles = 1 + len(worker.joined)

    def begin_next(self, name: bytes, now: float) -> Next:
        """It has ended a request, and runs the one that it was to have next."""
        worker = self._workers[name]
        coming = worker.next
        assert coming is not None, name
        worker.next = None
        charge = coming.charge
        worker.job, worker.depth, worker.charge = (
            coming.id,
            0,
            Charge(charge.tenant, charge.kind, now, charge.seconds),
        )
        self._depths[0] += 1
        self._occupy(worker, coming.key, now, charge.seconds)
        self._sort_in(name, worker)
        return coming

    def begin_errand(self, name: bytes, key: str, now: float, seconds: float) -> None:
        self._begin(name, key, now, seconds).errand = key
        self.errands += 1

    def _begin(self, name: bytes, key: str, now: float, seconds: float) -> Worker:
        del self._idle[name]
        return self._occupy(self._workers[name], key, now, seconds)

    @staticmethod
    def _occupy(worker: Worker, key: str, now: float, seconds: float) -> Worker:
        worker.key, worker.began_at, worker.done_at, worker.loaded = key, now, now + seconds, False
        return worker

    def end_work(self, name: bytes) -> None:
        """What it ran, or the errand, is over."""
        worker = self._workers[name]
        self._uncount(worker)
        worker.job = worker.errand = worker.charge = None
        worker.tiles = 1
        self.able.pop(name, None)
        self.rest(name)

    def rest(self, name: bytes) -> None:
        """It is idle, if nothing is left for it to do."""
        worker = self._workers[name]
        if not worker.leaving and not worker.at_work and worker.next is None:
            self._idle[name] = None

    # What it has next.

    def hand(self, name: bytes, coming: Next) -> None:
        """It is to run this when it has ended what it runs."""
        self._workers[name].next = coming
        self.able.pop(name, None)

    def take_back(self, name: bytes) -> Next | None:
        """It runs nothing next; what it was to."""
        worker = self._workers[name]
        coming, worker.next = worker.next, None
        self._sort_in(name, worker)
        return coming

    def recall(self, name: bytes) -> Next | None:
        """The same, but it may have begun it; until it has said so it gets nothing else."""
        worker = self._workers[name]
        coming, worker.next = worker.next, None
        if coming is not None:
            worker.recalled = coming.id
        return coming

    def declined(self, name: bytes) -> None:
        """It has said so."""
        worker = self._workers[name]
        worker.recalled = None
        self._sort_in(name, worker)

    def _sort_in(self, name: bytes, worker: Worker) -> None:
        if worker.may_have_next:
            self.able[name] = worker

    def _uncount(self, worker: Worker) -> None:
        if worker.job is not None:
            self._depths[worker.depth] -= 1
        self.errands -= worker.errand is not None

    def has_room(self, depth: int) -> bool:
        """Requests of a depth leave a worker of the reserve to each depth below.

        So the deepest can always run, and no chain of parents waits for ever.
        """
        if not depth:
            return self._depths[0] < self.usual
        taken = sum(self._depths[at] for at in range(depth + 1))
        return taken < self.usual + min(depth, self.reserve)
