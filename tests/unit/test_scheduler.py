# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler: single rules by example, and the promises for any history by a state machine."""

from __future__ import annotations

import dataclasses
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from qgsd.proxy.decisions import (
    Arrival,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Quarantined,
    Reinforce,
    Release,
    Retry,
    Tripped,
)
from qgsd.proxy.scheduler import MAX_ATTEMPTS, MAX_UNLUCKY_ATTEMPTS, Scheduler

LIMITS = Limits(max_queue=5, queue_timeout=10.0, worker_grace=5.0, breaker_timeouts=2, breaker_pause=8.0)


def arrival(id: str, key: str = "k", idempotent: bool = True, timeout: float = 20.0) -> Arrival:
    return Arrival(id, b"http", key, idempotent, timeout, fingerprint=f"print of {id}")


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


def test_a_request_that_kills_twice_is_not_run_again_until_its_time_is_over() -> None:
    many = scheduler(b"w1", b"w2", b"w3")
    poison = arrival("1")
    (first,) = many.arrived(poison, 0.0)
    assert isinstance(first, Dispatch)
    _, second = many.lost(first.worker, 1.0, "SIGSEGV")
    assert isinstance(second, Dispatch)
    noted, failed = many.lost(second.worker, 2.0, "SIGSEGV")
    assert noted == Quarantined("1", "print of 1", "k", "SIGSEGV")
    assert isinstance(failed, Fail)
    assert failed.status == 500
    (refused,) = many.arrived(dataclasses.replace(poison, id="2"), 3.0)
    assert isinstance(refused, Fail)
    assert (refused.status, refused.code) == (500, "quarantined")
    assert dispatched(many.arrived(arrival("3"), 3.0)) == ["3"], "another request is welcome"
    later = 2.0 + LIMITS.quarantine_ttl
    many.finished(many.worker_names()[0], "3", later)
    assert dispatched(many.arrived(dataclasses.replace(poison, id="4"), later)) == ["4"]


def test_who_is_killed_by_others_is_not_poisonous() -> None:
    one = scheduler(b"w0")
    one.arrived(arrival("1"), 0.0)
    for number in range(1, MAX_UNLUCKY_ATTEMPTS):
        assert one.lost(b"w%d" % (number - 1), 1.0, "SIGKILL", own_fault=False) == [
            Retry("1", "k", b"w%d" % (number - 1))
        ]
        assert dispatched(one.joined(b"w%d" % number, 1.0)) == ["1"]
    (failed,) = one.lost(b"w%d" % number, 1.0, "SIGKILL", own_fault=False)
    assert isinstance(failed, Fail)
    assert one.quarantine.entries(1.0) == []


def test_served_in_between_a_request_is_no_suspect_any_more() -> None:
    one = scheduler(b"w0")
    for number in range(4):
        one.arrived(dataclasses.replace(arrival("x"), id=f"a{number}"), 0.0)
        one.lost(b"w%d" % (2 * number), 0.0, "SIGSEGV")
        one.joined(b"w%d" % (2 * number + 1), 0.0)
        one.finished(b"w%d" % (2 * number + 1), f"a{number}", 0.0)
        one.leaving(b"w%d" % (2 * number + 1), 0.0)
        one.joined(b"w%d" % (2 * number + 2), 0.0)
    assert one.quarantine.entries(0.0) == []


def test_one_key_leaves_a_worker_to_the_others() -> None:
    three = scheduler(b"w1", b"w2", b"w3")
    three.arrived(arrival("0", "other"), 0.0)
    three.finished(b"w3", "0", 0.0)
    greedy = [decision for n in range(4) for decision in three.arrived(arrival(f"g{n}", "greedy"), 1.0)]
    assert dispatched(greedy) == ["g0", "g1"]
    assert dispatched(three.arrived(arrival("1", "other"), 1.0)) == ["1"]


def test_a_key_that_is_alone_may_have_all_workers() -> None:
    three = scheduler(b"w1", b"w2", b"w3")
    taken = [decision for n in range(3) for decision in three.arrived(arrival(str(n)), 1.0)]
    assert dispatched(taken) == ["0", "1", "2"]


def test_a_full_queue_of_one_key_does_not_shut_out_another() -> None:
    two = scheduler(b"w1", b"w2")
    two.arrived(arrival("0", "other"), 0.0)
    two.finished(b"w2", "0", 0.0)
    for number in range(7):
        two.arrived(arrival(f"g{number}", "greedy"), 1.0)
    assert two.waiting == LIMITS.max_queue
    assert dispatched(two.arrived(arrival("1", "other"), 1.0)) == ["1"]


def _time_out(one: Scheduler, worker: bytes, id: str, now: float) -> list[Decision]:
    one.arrived(arrival(id, "hung", timeout=1.0), now)
    decisions = one.tick(now + 1.0)
    one.lost(worker, now + 1.0, "killed at its deadline", own_fault=False)
    return decisions


def test_a_project_that_only_times_out_is_refused_probed_and_taken_back() -> None:
    one = scheduler(b"w0")
    assert not any(isinstance(decision, Tripped) for decision in _time_out(one, b"w0", "0", 0.0))
    one.joined(b"w1", 2.0)
    one.arrived(arrival("1", "hung", timeout=1.0), 2.0)
    one.arrived(arrival("behind", "hung"), 2.0)
    decisions = one.tick(3.0)
    assert (
        Tripped("hung", 8.0, "'hung' timed out again and again, its requests are refused for 8 s")
        in decisions
    )
    assert {d.id: d.status for d in decisions if isinstance(d, Fail)} == {"1": 504, "behind": 503}
    one.finished(b"w1", "1", 3.5)
    (refused,) = one.arrived(arrival("2", "hung"), 4.0)
    assert isinstance(refused, Fail)
    assert (refused.status, refused.retry_after) == (503, 7.0)
    assert dispatched(one.arrived(arrival("3", "fine"), 4.0)) == ["3"]
    one.finished(b"w1", "3", 4.0)
    assert dispatched(one.arrived(arrival("probe", "hung"), 11.5)) == ["probe"]
    (second,) = one.arrived(arrival("4", "hung"), 11.6)
    assert isinstance(second, Fail), "one probe is enough"
    assert Tripped("hung", 0.0, "'hung' answers again") in one.finished(b"w1", "probe", 12.0)
    assert dispatched(one.arrived(arrival("5", "hung"), 12.0)) == ["5"]


def test_parents_leave_a_worker_to_each_depth_below() -> None:
    one = Scheduler(LIMITS, 0.0)
    one.joined(b"w", 0.0)
    one.arrived(arrival("parent"), 0.0)
    child = dataclasses.replace(arrival("child"), depth=1)
    assert one.arrived(child, 1.0) == [Reinforce(LIMITS.nested_depth)]
    for number in range(LIMITS.nested_depth):
        sent = one.joined(b"r%d" % number, 1.0, reserve=True)
        assert dispatched(sent) == (["child"] if number == 0 else [])
    assert dispatched(one.arrived(arrival("other"), 1.0)) == [], "the reserve is for nested requests only"
    sister = dataclasses.replace(arrival("sister"), depth=1)
    assert dispatched(one.arrived(sister, 1.0)) == [], "its depth has had its share"
    grandchild = dataclasses.replace(arrival("grandchild"), depth=2)
    assert dispatched(one.arrived(grandchild, 1.0)) == ["grandchild"]


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
        self.kills: Counter[str] = Counter()
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
                    assert attempt == self.attempts[id] <= MAX_UNLUCKY_ATTEMPTS
                    assert self.kills[id] < MAX_ATTEMPTS, "a request that had killed twice was run again"
                    self.running[worker] = id
                case Fail(_, id) | GiveBack(_, id) | Forget(id):
                    self.ended[id] += 1
                case Retry(id):
                    assert self.known[id].idempotent, "a write was tried again"
                    assert id not in self.started, "half an answer was begun anew"
                case Release(worker):
                    assert worker not in self.running
                    self.gone.add(worker)

    @rule(
        target=requests,
        key=st.sampled_from("abc"),
        idempotent=st.booleans(),
        timeout=st.floats(1.0, 30.0),
        depth=st.sampled_from([0, 0, 0, 1, 2]),
    )
    def arrive(self, key: str, idempotent: bool, timeout: float, depth: int) -> str:
        self.serial += 1
        id = str(self.serial)
        peer = b"http%d" % (self.serial % 2)
        self.known[id] = Arrival(id, peer, key, idempotent, timeout, f"{key}{self.serial % 4}", depth=depth)
        self.deadlines[id] = self.now + timeout
        self.take(self.scheduler.arrived(self.known[id], self.now))
        return id

    @rule(target=workers, reserve=st.booleans())
    def join(self, reserve: bool) -> bytes:
        if self.closed:
            return multiple()
        self.serial += 1
        worker = b"worker%d" % self.serial
        self.take(self.scheduler.joined(worker, self.now, reserve=reserve))
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

    @rule(worker=consumes(workers), own_fault=st.booleans())
    def lose(self, worker: bytes, own_fault: bool) -> None:
        id = self.running.pop(worker, None)
        if id is not None:
            self.kills[id] += own_fault
        self.gone.add(worker)
        self.take(self.scheduler.lost(worker, self.now, "SIGSEGV", own_fault=own_fault))

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
