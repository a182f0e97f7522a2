# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler's promises for any history: a model beside it knows who has which request, and why.

Events may come long after something was due: the dispatcher's next tick is never quite on time.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from math import inf
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from qgsd.messages import Tile
from qgsd.proxy.decisions import (
    Arrival,
    Continue,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Load,
    Loaded,
    Pause,
    Quarantined,
    Recall,
    Release,
    Retry,
    Tripped,
)
from qgsd.proxy.losses import MAX_ATTEMPTS, MAX_UNLUCKY_ATTEMPTS
from qgsd.proxy.scheduler import Scheduler

QUEUE_TIMEOUT, GRACE = 10.0, 5.0


@dataclasses.dataclass
class Work:
    """What is done once, for the open requests `riders`, the first of them first."""

    id: str
    riders: dict[str, Known] = dataclasses.field(default_factory=dict)
    attempts: int = 0
    began: float = 0.0
    started: bool = False
    worker: bytes | None = None
    ahead: bool = False
    # It has been at a worker, and would have been run; it was rendered with others and is not any more.
    ran: bool = False
    alone: bool = False


@dataclasses.dataclass
class Known:
    """What the model knows of a request."""

    arrival: Arrival
    at: float
    work: Work
    ends: int = 0
    held_at: float | None = None
    held_for: float = 0.0

    @property
    def attempts(self) -> int:
        return self.work.attempts

    @property
    def started(self) -> bool:
        return self.work.started

    @property
    def worker(self) -> bytes | None:
        return self.work.worker

    @property
    def is_first(self) -> bool:
        return next(iter(self.work.riders.values()), None) is self

    def is_left_behind(self, now: float) -> bool:
        """It holds up others, and has for five seconds in all."""
        others = any(one.held_at is None for one in self.work.riders.values())
        return others and self.held_at is not None and self.held_for + now - self.held_at >= 4.999

    @property
    def deadline(self) -> float:
        return self.at + self.arrival.timeout

    @property
    def due(self) -> float:
        """When it has to be given up if nothing happens."""
        first_wait = not self.work.ran
        return min(self.deadline, self.at + QUEUE_TIMEOUT) if first_wait else self.deadline


@dataclasses.dataclass
class Model:
    """The world as the dispatcher's peers see it; it refuses what must not be decided."""

    now: float = 0.0
    known: dict[str, Known] = dataclasses.field(default_factory=dict)
    works: dict[str, Work] = dataclasses.field(default_factory=dict)
    flights: dict[str, Work] = dataclasses.field(default_factory=dict)
    slack: float = 0.0
    running: dict[bytes, str] = dataclasses.field(default_factory=dict)
    # What workers have next, and what they have not declined yet though it was recalled.
    ahead: dict[bytes, str] = dataclasses.field(default_factory=dict)
    recalled: dict[bytes, str] = dataclasses.field(default_factory=dict)
    # What workers render with what they run, and have not answered; how many there were, itself included.
    beside: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
    tiles: dict[bytes, int] = dataclasses.field(default_factory=dict)
    apart: set[str] = dataclasses.field(default_factory=set)
    broken: set[str] = dataclasses.field(default_factory=set)
    joining: set[bytes] = dataclasses.field(default_factory=set)
    prefetching: set[bytes] = dataclasses.field(default_factory=set)
    idle: set[bytes] = dataclasses.field(default_factory=set)
    leaving: set[bytes] = dataclasses.field(default_factory=set)
    tripped: set[str] = dataclasses.field(default_factory=set)
    poisonous: set[str] = dataclasses.field(default_factory=set)
    kills: Counter[str] = dataclasses.field(default_factory=Counter)
    workerless_since: float | None = 0.0
    lost: tuple[bytes, str] | None = None
    closed: bool = False
    scheduler: Scheduler | None = None
    seen: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def workers(self) -> set[bytes]:
        return self.idle | set(self.running) | set(self.recalled)

    def waiting(self) -> set[str]:
        """No worker runs it; what rides on what runs for another one waits until the answer begins."""
        return {
            id
            for id, one in self.known.items()
            if not one.ends and (one.worker is None or not (one.started or one.is_first))
        }

    def open(self, id: str) -> Known:
        one = self.known[id]
        assert not one.ends, f"{id} had ended"
        return one

    def take(self, decisions: list[Decision]) -> None:
        loads: list[tuple[bytes, Loaded]] = []
        for decision in decisions:
            self.seen[getattr(decision, "code", type(decision).__name__)] += 1
            match decision:
                case Dispatch():
                    self.dispatch(decision)
                case Fail():
                    self.fail(decision)
                case GiveBack(peer, id):
                    assert self.closed
                    one = self.open(id)
                    assert one.worker is None or self.lost == (one.worker, one.work.id)
                    assert not self.open(id).started
                    assert self.end(id) == peer
                case Forget(id):
                    self.end(id)
                case Retry(id, key, worker):
                    self.retry(self.works[id], key, worker)
                case Release(worker):
                    assert worker not in self.running, "released while it works"
                    assert worker not in self.recalled, "released with a request on its way"
                    assert worker in self.leaving or worker not in self.idle, "released without asking"
                    self.remove(worker)
                case Load(worker, key, generation):
                    loads.append((worker, Loaded(key, generation, "loaded", "v1", 0.1)))
                case Recall(worker, id):
                    self.recall(worker, id)
                case Quarantined(id, print, key):
                    assert self.kills[print] >= MAX_ATTEMPTS
                    assert (print, key) == (self.known[id].arrival.fingerprint, self.known[id].arrival.key)
                    self.poisonous.add(print)
                case Tripped(key, pause):
                    (self.tripped.add if pause else self.tripped.discard)(key)

        # At once: how long loading takes is for the histories of projects.
        for worker, loaded in loads:
            assert self.scheduler is not None
            self.take(self.scheduler.loaded(worker, loaded, self.now))

    def dispatch(self, sent: Dispatch) -> None:
        work = self.works[sent.id]
        riders = list(work.riders.values())
        assert riders, "nobody waits for it"
        assert work.worker is None, "it is at a worker already"
        assert not self.closed, "a request was begun while closing"
        assert all(one.due > self.now for one in riders), "a request that is over its time was begun"
        assert sent.queued == self.now - riders[0].at
        with_it = [one for other in sent.joined for one in self.works[other.id].riders.values()]
        assert sent.remaining == max(one.deadline for one in riders + with_it) - self.now
        assert sent.attempt == work.attempts + 1 <= MAX_UNLUCKY_ATTEMPTS
        assert self.kills[sent.id] < MAX_ATTEMPTS, "a request that had killed twice was run again"
        work.worker, work.began = sent.worker, self.now
        if sent.worker in self.running:
            self.hand_over(work, sent.worker)
            return
        assert sent.worker in self.idle, "that worker has gone, goes, or has a request"
        work.attempts += 1
        work.ran = True
        self.idle.remove(sent.worker)
        self.running[sent.worker] = sent.id
        self.tiles[sent.worker] = 1 + len(sent.joined)
        if sent.joined:
            self.dispatch_beside(work, sent)

    def dispatch_beside(self, work: Work, sent: Dispatch) -> None:
        """Neighbours go with it."""
        self.seen["beside"] += 1
        first = self.known[work.id].arrival
        assert sent.worker in self.joining, "it cannot render several as one"
        assert work.attempts == 1, "what may have cost a worker is rendered by itself"
        assert first.tile is not None
        places = {first.tile.at}
        assert 1 + len(sent.joined) <= first.tile.most
        for other in sent.joined:
            beside, arrival = self.works[other.id], self.known[other.id].arrival
            assert (arrival.key, arrival.tile.row) == (first.key, first.tile.row)
            assert beside.riders, "nobody waits for it"
            assert beside.worker is None, "it is at a worker"
            assert not beside.attempts, "it is rendered by itself now"
            assert not beside.alone, "it was taken apart before"
            assert all(one.due > self.now for one in beside.riders.values()), "it is over its time"
            assert other.queued == self.now - next(iter(beside.riders.values())).at
            places.add(arrival.tile.at)
            beside.worker, beside.began, beside.attempts, beside.ran = sent.worker, self.now, 1, True
        assert len(places) == 1 + len(sent.joined), "one of them twice"
        assert max(places) - min(places) == len(sent.joined), "the picture has a gap"
        self.beside[sent.worker] = [other.id for other in sent.joined]

    def take_apart(self, worker: bytes, *, lost: bool = False) -> None:
        """What was rendered with something else, and has not been answered, waits again."""
        for id in self.beside.pop(worker, ()):
            work = self.works[id]
            if not work.riders or work.worker != worker:
                continue
            self.seen["apart"] += 1
            if work.started:
                self.broken.add(id)
                continue
            work.attempts = 0
            # By itself from now on, for the model as for the scheduler.
            work.alone = True
            if lost and not self.closed:
                self.apart.add(id)
            else:
                work.worker = None

    def hand_over(self, work: Work, worker: bytes) -> None:
        """The worker has it next."""
        self.seen["ahead"] += 1
        arrival = self.known[work.id].arrival
        assert worker in self.prefetching - self.leaving, "it cannot or must not have one more"
        assert worker not in self.ahead, "it has one already"
        assert worker not in self.recalled, "it has not declined the last one"
        assert arrival.idempotent, "a write would be done twice if it were recalled too late"
        assert not arrival.depth, "it would wait for its own parent"
        assert not work.attempts, "what may have cost a worker has to be first at the next one"
        self.ahead[worker], work.ahead = work.id, True

    def recall(self, worker: bytes, id: str) -> None:
        assert self.ahead.pop(worker) == id, "it did not have that next"
        self.recalled[worker] = id
        self.works[id].worker, self.works[id].ahead = None, False

    def next_one(self, worker: bytes) -> None:
        """The worker has ended its request."""
        self.take_apart(worker)
        del self.running[worker]
        if worker in self.ahead:
            id = self.running[worker] = self.ahead.pop(worker)
            self.works[id].ahead = False
            self.works[id].attempts += 1
            self.works[id].ran = True
            self.tiles[worker] = 1
        else:
            self.rest(worker)

    def rest(self, worker: bytes) -> None:
        if worker not in self.leaving and worker not in self.running and worker not in self.recalled:
            self.idle.add(worker)

    def retry(self, work: Work, key: str, worker: bytes) -> None:
        arrival = self.known[work.id].arrival
        assert work.riders, "nobody waits for it"
        assert self.lost == (worker, work.id) or work.id in self.apart, "its worker was not lost"
        assert arrival.key == key
        assert arrival.idempotent, "a write was tried again"
        assert not work.started, "half an answer was begun anew"
        assert not self.closed
        work.worker = None
        self.apart.discard(work.id)

    def fail(self, failure: Fail) -> None:
        one = self.open(failure.id)
        reasons = {
            "no_worker": (503, self.is_hopeless(one)),
            "queue_full": (503, not one.attempts or not one.is_first),
            "too_slow": (503, one.is_left_behind(self.now)),
            "queue_timeout": (504, (one.worker is None or one.work.ahead) and self.now >= one.due),
            "timeout": (
                504,
                one.worker is not None and not one.work.ahead and self.now + self.slack >= one.deadline,
            ),
            "worker_lost": (500, self.lost == (one.worker, one.work.id) or one.work.id in self.broken),
            "quarantined": (500, one.arrival.fingerprint in self.poisonous),
            "project_unavailable": (503, one.arrival.key in self.tripped),
        }
        status, justified = reasons[failure.code]
        assert failure.status == status
        assert justified, f"{failure} without a cause"
        assert failure.message
        assert self.end(failure.id) == failure.peer

    def is_hopeless(self, one: Known) -> bool:
        since = self.workerless_since
        return since is not None and (self.now - since >= GRACE or self.now >= one.due)

    def end(self, id: str) -> bytes:
        one = self.open(id)
        one.ends += 1
        del one.work.riders[id]
        return one.arrival.peer

    def joinable(self, arrival: Arrival) -> Work | None:
        """What this request may share."""
        work = self.flights.get(arrival.flight)
        if not arrival.flight or work is None or not work.riders or work.started:
            return None
        return work if work.worker is None or self.now - work.began <= arrival.timeout / 2 else None

    def remove(self, worker: bytes) -> None:
        self.idle.discard(worker)
        self.leaving.discard(worker)
        self.take_apart(worker, lost=True)
        self.running.pop(worker, None)
        self.recalled.pop(worker, None)
        if id := self.ahead.pop(worker, None):
            self.works[id].worker, self.works[id].ahead = None, False
        if not self.workers and self.workerless_since is None:
            self.workerless_since = self.now


SELDOM = st.sampled_from([False, False, False, True])


class History(RuleBasedStateMachine):
    """Any order of events."""

    requests = Bundle("requests")
    workers = Bundle("workers")
    total: ClassVar[Counter[str]] = Counter()

    @initialize(target=workers, queue=st.integers(1, 9), share=st.integers(0, 2), workers=st.integers(0, 4))
    def begin(self, queue: int, share: int, workers: int) -> object:
        self.model = Model(seen=self.total)
        self.limits = Limits(queue, QUEUE_TIMEOUT, GRACE, share=share, breaker_timeouts=1, breaker_pause=20.0)
        self.scheduler = self.model.scheduler = Scheduler(self.limits, 0.0)
        self.serial = 0
        return multiple(*[self.join(False, True, True, True) for _ in range(workers)])

    @rule(
        target=requests,
        key=st.sampled_from("abc"),
        idempotent=st.sampled_from([True, True, False]),
        timeout=st.sampled_from([0.0, 0.5]) | st.floats(1.0, 30.0),
        depth=st.sampled_from([0, 0, 0, 1, 2]),
        print=st.integers(0, 3),
        shared=st.booleans(),
        place=st.none() | st.integers(0, 5),
    )
    def arrive(
        self,
        key: str,
        idempotent: bool,
        timeout: float,
        depth: int,
        print: int,
        shared: bool,
        place: int | None = None,
    ) -> str:
        self.serial += 1
        id, peer = f"r{self.serial}", b"http%d" % (self.serial % 2)
        flight = f"{key}{print}" if shared and idempotent and not depth else ""
        mark = f"{key}{print}" if place is None else f"{key}{place}"
        tile = Tile(key, float(place), 1.0, 3) if place is not None and idempotent else None
        flight = f"{flight}.{place}" if flight and tile else flight
        arrival = Arrival(id, peer, key, idempotent, timeout, mark, depth=depth, flight=flight, tile=tile)
        before = len(self.model.waiting())
        work, joined = self.model.joinable(arrival), self.scheduler.coalesced
        decisions = self.scheduler.arrived(arrival, self.model.now)
        work = None if before >= self.limits.max_queue and self.scheduler.coalesced == joined else work
        self._board(Known(arrival, self.model.now, Work(id)), work, self.scheduler.coalesced - joined)
        self.model.take(decisions)
        recalled = sum(isinstance(one, Recall) for one in decisions)
        # The first of a project may be waiting for a worker that has it open, with others idle.
        most = max(before, self.limits.max_queue) + recalled + len("abc")
        assert len(self.model.waiting()) <= most, "the queue is not bounded"
        refused = any(isinstance(one, Fail) and (one.id, one.code) == (id, "queue_full") for one in decisions)
        assert not refused or before >= self.limits.max_queue
        return id

    def _board(self, one: Known, work: Work | None, joined: int) -> None:
        """The request has a work of its own, or it has joined that one."""
        id, model = one.arrival.id, self.model
        assert not joined or work is not None, "it joined what it must not"
        if joined and work is not None:
            model.seen["joined"] += 1
            one.work = work
        elif one.arrival.flight and self.scheduler.is_open(id):
            gone = work is not None and not self.scheduler.is_open(next(iter(work.riders)))
            assert work is None or gone, "it did not join what it might have"
        if not joined:
            model.works[id] = one.work
            if one.arrival.flight and self.scheduler.is_open(id):
                model.flights[one.arrival.flight] = one.work
        one.work.riders[id] = one
        model.known[id] = one

    @rule(target=requests, keys=st.lists(st.sampled_from("ab"), min_size=2, max_size=5))
    def arrive_together(self, keys: list[str]) -> object:
        return multiple(
            *[self.arrive(key, True, 20.0, 0, place // 2, True) for place, key in enumerate(keys)]
        )

    @rule(target=requests, key=st.sampled_from("ab"), count=st.integers(2, 5))
    def rush(self, key: str, count: int) -> object:
        """More than there are workers for, of what has been served before."""
        for worker in list(self.model.running):
            self.finish(worker)
        return multiple(*[self.arrive(key, True, 20.0, 0, 9, False) for _ in range(count)])

    @rule(target=requests, key=st.sampled_from("ab"), places=st.permutations(range(5)))
    def arrive_in_a_row(self, key: str, places: list[int]) -> object:
        return multiple(*[self.arrive(key, True, 20.0, 0, 8, False, place) for place in places])

    @rule(id=requests)
    def arrive_twice(self, id: str) -> None:
        if self.scheduler.is_open(id):
            assert self.scheduler.arrived(self.model.known[id].arrival, self.model.now) == []

    @rule(
        target=workers,
        reserve=st.sampled_from([False, False, True]),
        warm=st.booleans(),
        prefetches=st.booleans(),
        joins=st.booleans(),
    )
    def join(self, reserve: bool, warm: bool, prefetches: bool, joins: bool) -> bytes:
        if self.model.closed:
            return multiple()
        self.serial += 1
        worker = b"worker%d" % self.serial
        self.model.idle.add(worker)
        self.model.workerless_since = None
        if prefetches:
            self.model.prefetching.add(worker)
        if joins:
            self.model.joining.add(worker)
        self.model.take(
            self.scheduler.joined(
                worker,
                self.model.now,
                reserve=reserve,
                has_open=[Loaded(key, 1, "loaded", "v1", 0.1) for key in "abc" if warm],
                prefetches=prefetches,
                joins=joins,
            )
        )
        assert self.scheduler.joined(worker, self.model.now) == [], "joined twice"
        return worker

    @rule(worker=workers, sure=SELDOM)
    def leave(self, worker: bytes, sure: bool) -> None:
        if not sure:
            return
        self.model.leaving.add(worker)
        was_idle = worker in self.model.idle
        self.model.idle.discard(worker)
        decisions = self.scheduler.leaving(worker, self.model.now)
        busy = worker in self.model.running or worker in self.model.recalled
        assert (Release(worker) in decisions) == (was_idle or not busy)
        self.model.take(decisions)

    @rule(worker=workers)
    def answer(self, worker: bytes) -> None:
        id = self.model.running.get(worker)
        if id is None:
            assert self.scheduler.answering(worker, "r1") == []
            return
        work = self.model.works[id]
        told = {rider.arrival.id: rider.arrival.peer for rider in self.scheduler.answering(worker, id)}
        expected = {} if work.worker != worker else work.riders
        assert told == {id: one.arrival.peer for id, one in expected.items()}
        work.started = work.started or bool(expected)

    @rule(worker=workers, completely=st.booleans())
    def answer_one_beside(self, worker: bytes, completely: bool) -> None:
        """A neighbour of what it runs is answered."""
        model = self.model
        if not model.beside.get(worker):
            return
        id = model.beside[worker][0]
        work = model.works[id]
        told = {rider.arrival.id for rider in self.scheduler.answering(worker, id)}
        assert told == (set(work.riders) if work.worker == worker else set())
        work.started = work.started or bool(told)
        if not completely:
            return
        model.beside[worker].remove(id)
        cut = self.scheduler.tiles_cut
        if told:
            model.kills[model.known[id].arrival.fingerprint] *= 0
        for rider in told:
            model.end(rider)
        model.take(self.scheduler.finished(worker, id, model.now))
        assert self.scheduler.tiles_cut == cut + len(told)

    @rule(worker=workers)
    def decline(self, worker: bytes) -> None:
        """It has heard of a recall, or it leaves and wants nothing more."""
        model, id = self.model, self.model.recalled.pop(worker, None)
        if id is None and worker in model.leaving:
            id = model.running.get(worker)
            if id is None or model.works[id].started:
                return
            # It was sent while the worker said that it leaves.
            work = model.works.get(id)
            model.take_apart(worker)
            del model.running[worker]
            if work is not None and work.worker == worker:
                work.worker, work.attempts = None, work.attempts - 1
        elif id is None:
            model.take(self.scheduler.declined(worker, "r0", model.now))
            return
        model.rest(worker)
        model.take(self.scheduler.declined(worker, id, model.now))

    @rule(worker=workers)
    def finish(self, worker: bytes) -> None:
        model = self.model
        id = model.running.get(worker)
        if id is None:
            assert self.scheduler.finished(worker, "r1", model.now) == []
            return
        work = model.works[id]
        if work.riders and work.worker == worker:
            model.kills[model.known[id].arrival.fingerprint] *= 0
            for rider in list(work.riders):
                model.end(rider)
        model.next_one(worker)
        model.take(self.scheduler.finished(worker, id, model.now))

    @rule(worker=workers, late=st.booleans())
    def run_out(self, worker: bytes, late: bool) -> None:
        """The worker gives a request up, at its deadline or a little before."""
        model = self.model
        id = model.running.get(worker)
        if id is None or model.works[id].started or model.closed:
            return
        work = model.works[id]
        if work.attempts == MAX_UNLUCKY_ATTEMPTS:
            # Each time a deadline has passed, so no request sees it as often as it may lose workers.
            return
        if late and work.riders:
            model.now = max(model.now, max(one.deadline for one in work.riders.values()) - 0.2)
        model.next_one(worker)
        late_ones = {id for id, one in work.riders.items() if one.deadline <= model.now + 0.25}
        model.slack = 0.25
        decisions = self.scheduler.ran_out(worker, id, model.now)
        told = {one.id for one in decisions if isinstance(one, Fail) and one.code == "timeout"}
        assert late_ones <= told
        for one in [one for one in decisions if isinstance(one, Fail) and one.id in late_ones]:
            model.take([one])
            decisions.remove(one)
        work.worker = None
        model.take(decisions)
        model.slack = 0.0

    @rule(id=requests, seconds=st.floats(0.0, 6.0))
    def hold(self, id: str, seconds: float) -> None:
        one, model = self.model.known[id], self.model
        if one.ends or not one.started or one.held_at is not None:
            assert one.ends or one.started or one.worker or self.scheduler.pauses.held(id, model.now) == []
            return
        one.held_at = model.now
        assert self.scheduler.pauses.held(id, model.now) == [Pause(one.worker, one.work.id)]
        model.now += seconds
        self.tick()

    @rule(id=requests)
    def resume(self, id: str) -> None:
        one, model = self.model.known[id], self.model
        if one.ends or one.held_at is None:
            return
        one.held_for, one.held_at = one.held_for + model.now - one.held_at, None
        free = all(other.held_at is None for other in one.work.riders.values())
        goes_on = [Continue(one.worker, one.work.id)] if free else []
        assert self.scheduler.pauses.resumed(id, model.now) == goes_on

    @rule(worker=consumes(workers), own_fault=st.booleans())
    def lose(self, worker: bytes, own_fault: bool) -> None:
        model = self.model
        id = model.running.get(worker)
        if id is not None and model.works[id].riders and model.works[id].worker == worker:
            model.lost = worker, id
            for mark in (id, model.known[id].arrival.fingerprint):
                model.kills[mark] += own_fault and model.tiles[worker] == 1
        model.remove(worker)
        model.take(self.scheduler.lost(worker, model.now, "SIGSEGV", own_fault=own_fault))
        model.lost = None
        assert not model.apart, "what was rendered with it is at nobody"
        assert self.scheduler.lost(worker, model.now, "again") == []

    @rule(id=requests, sure=SELDOM)
    def cancel(self, id: str, sure: bool) -> None:
        if not sure:
            return
        one = self.model.known[id]
        held = {other for other, its in one.work.riders.items() if its.held_at is not None}
        goes_on = [Continue(one.worker, one.work.id)] if held == {id} else []
        alone = one.work.ahead and len(one.work.riders) == 1
        recall = [Recall(one.worker, one.work.id)] if alone and one.worker else []
        expected = [] if one.ends else [Forget(id), *goes_on, *recall]
        decisions = self.scheduler.cancelled(id)
        assert decisions == expected
        self.model.take(decisions)

    @rule(peer=st.sampled_from([b"http0", b"http1"]), sure=SELDOM)
    def lose_peer(self, peer: bytes, sure: bool) -> None:
        if not sure:
            return
        theirs = {id for id, one in self.model.known.items() if one.arrival.peer == peer and not one.ends}
        decisions = self.scheduler.peer_gone(peer)
        assert {decision.id for decision in decisions if isinstance(decision, Forget)} == theirs
        self.model.take(decisions)

    @rule(seconds=st.floats(0.0, 2.0) | st.floats(0.0, 12.0))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule()
    def tick(self) -> None:
        model = self.model
        model.take(self.scheduler.tick(model.now))
        due = [one.due for one in model.known.values() if not one.ends]
        assert all(when > model.now for when in due), "something due was left undone"
        alarm = self.scheduler.next_alarm()
        assert alarm is None or alarm > model.now, "the alarm would ring for nothing"
        late = [one for one in model.known.values() if not one.ends and one.is_left_behind(model.now - 0.01)]
        assert not late, "one holds up the others for ever"
        assert not due or (alarm is not None and alarm <= min(due)), "the alarm would ring too late"

    @rule(queue=st.integers(1, 6))
    def change_limits(self, queue: int) -> None:
        self.limits = dataclasses.replace(self.limits, max_queue=queue)
        self.scheduler.limit(self.limits)

    @rule(sure=SELDOM, really=SELDOM)
    def close(self, sure: bool, really: bool) -> None:
        if sure and really:
            self.model.closed = True
            self.model.take(self.scheduler.close())
            assert all(self.model.known[id].worker for id in self.model.waiting())

    @invariant()
    def the_scheduler_knows_what_the_model_knows(self) -> None:
        if not hasattr(self, "model"):
            return
        model, scheduler = self.model, self.scheduler
        assert scheduler.waiting == len(model.waiting())
        assert set(scheduler.worker_names()) == model.workers
        assert scheduler.workers == len(model.workers - model.leaving)
        for id, one in model.known.items():
            assert one.ends <= 1
            assert scheduler.is_open(id) == (not one.ends)
            assert scheduler.worker_of(id) == (None if one.ends else one.worker)

    @invariant()
    def nobody_waits_while_nobody_works(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        working = model.running or model.recalled
        usable = scheduler_slots(self.scheduler) if not working else 0
        late = [id for id in model.waiting() if model.known[id].due <= model.now]
        bulkhead = self.scheduler._matchmaker.bulkhead
        soon = bulkhead.next_alarm() < inf
        assert not usable or not model.waiting() or late or soon, "work and workers, and nothing happens"

    def teardown(self) -> None:
        """With workers that do their work, every request ends exactly once and nothing remains."""
        if not hasattr(self, "model"):
            return
        self.model.now += 100.0
        self.tick()
        while self.model.running or self.model.recalled:
            for worker in list(self.model.recalled):
                self.decline(worker)
            for worker in list(self.model.running):
                self.finish(worker)
        assert {id for id, one in self.model.known.items() if one.ends != 1} == set()
        for worker in self.scheduler.worker_names():
            self.leave(worker, True)
        assert self.scheduler.at_rest
        assert remains(self.scheduler) == {}


def scheduler_slots(scheduler: Scheduler) -> int:
    """Workers that any request may have."""
    return scheduler._roster.usual


def remains(scheduler: Scheduler) -> dict[str, object]:
    """What a scheduler at rest should not hold any more, looked for in all it has."""
    scheduler.next_alarm()
    held: dict[str, object] = {
        name: value
        for name, value in vars(scheduler).items()
        if isinstance(value, dict | list | set | int) and not isinstance(value, bool)
    }
    held |= {
        f"backlog {name}": value
        for name, value in vars(scheduler._backlog).items()
        if isinstance(value, dict | list | set | int)
    }
    del held["coalesced"]
    held["rows"] = scheduler._backlog.rows._rows
    held["waits"], held["of_length"] = scheduler._backlog._waits._lines, scheduler._backlog._waits._of_length
    held["active"] = scheduler._backlog.shares._active
    held["parked"], held["entries"] = scheduler._backlog.turns._parked, scheduler._backlog.turns._entries
    held["turns"], held["nested"] = scheduler._backlog.turns.lines, scheduler._backlog.nested.lines
    held["occupied"] = scheduler._matchmaker.bulkhead._occupied
    held["_depths"] = {depth: count for depth, count in scheduler._roster._depths.items() if count}
    held["handed"] = scheduler._prefetch._handed
    held["workers"] = scheduler._roster.names()
    held["stamped"] = {p.key: p.stamped for p in scheduler._projects.all() if p.stamped}
    return {name: value for name, value in held.items() if value}


def test_any_history_keeps_the_promises() -> None:
    History.total.clear()
    run_state_machine_as_test(
        History, settings=settings(max_examples=400, stateful_step_count=40, deadline=None)
    )
    common = {
        "Dispatch", "Retry", "Release", "Forget", "GiveBack", "Tripped", "Reinforce",
        "no_worker", "queue_full", "queue_timeout", "timeout", "worker_lost", "project_unavailable",
        "joined", "ahead", "Recall", "beside", "apart",
    }  # fmt: skip
    assert common - set(History.total) == set(), "these never happened: the histories are too tame"
