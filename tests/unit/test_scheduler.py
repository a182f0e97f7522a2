# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler: single rules by example, and the promises for any history by a state machine."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from qgsd.proxy.scheduler import (
    MAX_ATTEMPTS,
    Arrival,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Release,
    Retry,
    Scheduler,
)

LIMITS = Limits(max_queue=5, queue_timeout=10.0, worker_grace=5.0)


def arrival(id: str, key: str = "k", idempotent: bool = True, timeout: float = 20.0) -> Arrival:
    return Arrival(id, b"http", key, idempotent, timeout)


def scheduler(*workers: bytes) -> Scheduler:
    made = Scheduler(LIMITS, 0.0)
    for worker in workers:
        made.joined(worker, 0.0)
    return made


def dispatched(decisions: list[Decision]) -> list[str]:
    return [decision.id for decision in decisions if isinstance(decision, Dispatch)]


def test_an_idle_worker_gets_the_request_at_once() -> None:
    assert scheduler(b"w").arrived(arrival("1"), 1.0) == [Dispatch(b"w", "1", 0.0, 20.0, 1)]


def test_keys_take_turns() -> None:
    busy = scheduler(b"w")
    busy.arrived(arrival("0", "a"), 0.0)
    for id, key in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        busy.arrived(arrival(id, key), 0.0)
    order, current = [], "0"
    for _ in range(4):
        (current,) = dispatched(busy.finished(b"w", current, 1.0))
        order.append(current)
    assert order == ["a1", "b1", "a2", "a3"]


def test_a_full_queue_refuses() -> None:
    full = scheduler(b"w")
    for number in range(6):
        full.arrived(arrival(str(number)), 0.0)
    (refused,) = full.arrived(arrival("7"), 0.0)
    assert isinstance(refused, Fail)
    assert (refused.status, refused.code) == (503, "queue_full")


def test_waiting_too_long_is_given_up_and_never_dispatched() -> None:
    busy = scheduler(b"w")
    busy.arrived(arrival("0"), 0.0)
    busy.arrived(arrival("1"), 0.0)
    assert busy.next_alarm() == 10.0
    (late,) = busy.tick(10.0)
    assert isinstance(late, Fail)
    assert (late.id, late.status) == ("1", 504)
    assert dispatched(busy.finished(b"w", "0", 11.0)) == []


def test_over_its_deadline_the_client_is_told_and_the_worker_stays_taken() -> None:
    busy = scheduler(b"w")
    busy.arrived(arrival("0", timeout=3.0), 0.0)
    (late,) = busy.tick(3.0)
    assert isinstance(late, Fail)
    assert (late.id, late.status) == ("0", 504)
    assert dispatched(busy.arrived(arrival("1"), 3.0)) == []
    assert busy.answering(b"w", "0") is None
    assert dispatched(busy.finished(b"w", "0", 4.0)) == ["1"]


def test_without_any_worker_503_comes_after_the_grace() -> None:
    empty = scheduler()
    assert empty.arrived(arrival("1"), 1.0) == []
    assert empty.next_alarm() == 5.0
    (refused,) = empty.tick(5.0)
    assert isinstance(refused, Fail)
    assert (refused.status, refused.code) == (503, "no_worker")
    (at_once,) = empty.arrived(arrival("2"), 6.0)
    assert isinstance(at_once, Fail)
    assert at_once.status == 503


def test_a_lost_worker_costs_nobody_an_answer() -> None:
    two = scheduler(b"w1", b"w2")
    (first,) = two.arrived(arrival("1"), 0.0)
    assert isinstance(first, Dispatch)
    decisions = two.lost(first.worker, 1.0, "SIGSEGV")
    other = ({b"w1", b"w2"} - {first.worker}).pop()
    assert decisions == [Retry("1", "k", first.worker), Dispatch(other, "1", 1.0, 19.0, 2)]


def test_what_began_or_writes_is_not_tried_again() -> None:
    for idempotent, began in ((True, True), (False, False)):
        two = scheduler(b"w1", b"w2")
        (first,) = two.arrived(arrival("1", idempotent=idempotent), 0.0)
        assert isinstance(first, Dispatch)
        if began:
            two.answering(first.worker, "1")
        (failed,) = two.lost(first.worker, 1.0, "SIGSEGV")
        assert isinstance(failed, Fail)
        assert failed.status == 500


def test_a_retry_comes_before_what_waits() -> None:
    two = scheduler(b"w1")
    two.arrived(arrival("1", "a"), 0.0)
    two.arrived(arrival("2", "b"), 0.0)
    two.lost(b"w1", 1.0, "SIGSEGV")
    assert dispatched(two.joined(b"w2", 1.0)) == ["1"]


def test_leaving_ends_with_what_runs() -> None:
    one = scheduler(b"w")
    one.arrived(arrival("1"), 0.0)
    assert one.leaving(b"w", 1.0) == []
    assert one.finished(b"w", "1", 2.0) == [Release(b"w")]


def test_closing_gives_back_what_waits() -> None:
    one = scheduler(b"w")
    one.arrived(arrival("1"), 0.0)
    one.arrived(arrival("2"), 0.0)
    assert one.close() == [GiveBack(b"http", "2")]
    assert one.arrived(arrival("3"), 1.0) == [GiveBack(b"http", "3")]


class History(RuleBasedStateMachine):
    """Any order of events; a model beside it knows who has which request and which have ended."""

    requests = Bundle("requests")
    workers = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.serial = 0
        self.ended: Counter[str] = Counter()
        self.known: dict[str, Arrival] = {}
        self.deadlines: dict[str, float] = {}
        self.attempts: Counter[str] = Counter()
        self.running: dict[bytes, str] = {}
        self.started: set[str] = set()
        self.gone: set[bytes] = set()

    @initialize(queue=st.integers(1, 6))
    def begin(self, queue: int) -> None:
        self.max_queue = queue
        self.scheduler = Scheduler(Limits(queue, 10.0, 5.0), self.now)
        self.closed = False

    def take(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Dispatch(worker, id, queued, remaining, attempt):
                    assert worker not in self.running, "two requests at one worker"
                    assert worker not in self.gone, "a request for a worker that has gone"
                    assert not self.ended[id], "a request that has ended"
                    assert self.deadlines[id] > self.now, "a request that is over its deadline"
                    assert not self.closed, "a request was started while closing"
                    assert queued >= 0
                    assert remaining >= 0
                    self.attempts[id] += 1
                    assert attempt == self.attempts[id] <= MAX_ATTEMPTS
                    self.running[worker] = id
                case Fail(_, id) | GiveBack(_, id) | Forget(id):
                    self.ended[id] += 1
                case Retry(id):
                    assert self.known[id].idempotent, "a write was tried again"
                    assert id not in self.started, "half an answer was begun anew"
                case Release(worker):
                    assert worker not in self.running
                    self.gone.add(worker)

    @rule(target=requests, key=st.sampled_from("abc"), idempotent=st.booleans(), timeout=st.floats(1.0, 30.0))
    def arrive(self, key: str, idempotent: bool, timeout: float) -> str:
        self.serial += 1
        id = str(self.serial)
        peer = b"http%d" % (self.serial % 2)
        self.known[id] = Arrival(id, peer, key, idempotent, timeout)
        self.deadlines[id] = self.now + timeout
        self.take(self.scheduler.arrived(self.known[id], self.now))
        return id

    @rule(target=workers)
    def join(self) -> bytes:
        if self.closed:
            return multiple()
        self.serial += 1
        worker = b"worker%d" % self.serial
        self.take(self.scheduler.joined(worker, self.now))
        return worker

    @rule(worker=workers)
    def leave(self, worker: bytes) -> None:
        self.take(self.scheduler.leaving(worker, self.now))

    @rule(worker=workers)
    def answer(self, worker: bytes) -> None:
        id = self.running.get(worker)
        if id is None:
            return
        peer = self.scheduler.answering(worker, id)
        assert (peer is None) == bool(self.ended[id])
        if peer is not None:
            assert peer == self.known[id].peer
            self.started.add(id)

    @rule(worker=workers)
    def finish(self, worker: bytes) -> None:
        id = self.running.pop(worker, None)
        if id is None:
            return
        if not self.ended[id]:
            self.ended[id] += 1
        self.take(self.scheduler.finished(worker, id, self.now))

    @rule(worker=consumes(workers))
    def lose(self, worker: bytes) -> None:
        self.running.pop(worker, None)
        self.gone.add(worker)
        self.take(self.scheduler.lost(worker, self.now, "SIGSEGV"))

    @rule(id=requests)
    def cancel(self, id: str) -> None:
        self.take(self.scheduler.cancelled(id))

    @rule(peer=st.sampled_from([b"http0", b"http1"]))
    def lose_peer(self, peer: bytes) -> None:
        self.take(self.scheduler.peer_gone(peer))

    @rule(seconds=st.floats(0.0, 12.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.scheduler.tick(self.now))
        alarm = self.scheduler.next_alarm()
        assert alarm is None or alarm > self.now, "something due was left undone"

    @rule()
    def close(self) -> None:
        self.closed = True
        self.take(self.scheduler.close())

    @invariant()
    def each_ends_at_most_once(self) -> None:
        assert all(count <= 1 for count in self.ended.values())

    @invariant()
    def the_queue_is_bounded(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        retried = sum(self.attempts[id] > 0 for id in self.known)
        assert 0 <= self.scheduler.waiting <= self.max_queue + retried

    def teardown(self) -> None:
        """With workers that do their work, every request ends exactly once and nothing remains."""
        if not hasattr(self, "scheduler"):
            return
        self.now += 100.0
        self.take(self.scheduler.tick(self.now))
        for worker in list(self.running):
            self.finish(worker)
        assert {id for id in self.known if self.ended[id] != 1} == set()
        assert self.scheduler.waiting == 0
        assert not any(self.scheduler.is_open(id) for id in self.known)
        for worker in self.scheduler.worker_names():
            self.take(self.scheduler.leaving(worker, self.now))
        assert self.scheduler.at_rest


History.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestHistory = History.TestCase
