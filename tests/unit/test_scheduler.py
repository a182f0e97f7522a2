# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler: single rules by example, and fairness for any order of requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from qgsd.proxy.decisions import (
    Arrival,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Load,
    Loaded,
    Quarantined,
    Reinforce,
    Release,
    Retry,
    Tripped,
)
from qgsd.proxy.losses import MAX_UNLUCKY_ATTEMPTS
from qgsd.proxy.scheduler import Scheduler

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
    assert order == ["b1", "a1", "a2", "a3"]


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
    assert busy.answering(b"w", "0") == []
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


@pytest.mark.parametrize(("key", "own_fault"), [("a", True), ("b", False)])
def test_a_retry_comes_before_what_waits(key: str, own_fault: bool) -> None:
    """Before what waits with it, and before all if it has not caused the loss itself."""
    two = scheduler(b"w1")
    two.arrived(arrival("1", "a"), 0.0)
    two.arrived(arrival("2", key), 0.0)
    two.lost(b"w1", 1.0, "SIGSEGV", own_fault=own_fault)
    assert dispatched(two.joined(b"w2", 1.0)) == ["1"]


def test_a_retry_waits_as_long_as_its_deadline_lets_it() -> None:
    one = scheduler(b"w1", b"w2")
    for id in ("1", "2"):
        one.arrived(arrival(id), 0.0)
    assert [type(decision) for decision in one.lost(b"w2", 1.0, "SIGSEGV")] == [Retry]
    assert one.tick(19.0) == []
    assert dispatched(one.finished(b"w1", "2", 19.5)) == ["1"]


def test_the_workforce_is_counted_right_however_workers_go() -> None:
    many = scheduler(*[b"w%d" % number for number in range(5)])
    for number in range(3):
        many.arrived(arrival(str(number)), 0.0)
    busy = [worker for number in range(3) if (worker := many.worker_of(str(number)))]
    for worker, left in zip(busy, (4, 3, 2), strict=True):
        many.leaving(worker, 1.0)
        many.leaving(worker, 1.0)
        assert many.workers == left
    many.lost(busy[0], 2.0, "SIGSEGV", own_fault=False)
    many.finished(busy[1], "1", 2.0)
    assert many.workers == 2
    many.lost(busy[2], 2.0, "SIGSEGV", own_fault=False)
    for worker in many.worker_names():
        many.lost(worker, 3.0, "SIGKILL", own_fault=False)
    assert many.workers == 0


def test_a_request_that_kills_twice_is_not_run_again_until_its_time_is_over() -> None:
    many = scheduler(b"w1", b"w2", b"w3")
    poison = arrival("1")
    (first,) = many.arrived(poison, 0.0)
    assert isinstance(first, Dispatch)
    _, second = many.lost(first.worker, 1.0, "SIGSEGV")
    assert isinstance(second, Dispatch)
    noted, failed = many.lost(second.worker, 2.0, "SIGSEGV")
    assert noted == Quarantined("1", "print of 1", "k", "SIGSEGV", 2.0 + LIMITS.quarantine_ttl)
    assert isinstance(failed, Fail)
    assert failed.status == 500
    (refused,) = many.arrived(structs.replace(poison, id="2"), 3.0)
    assert isinstance(refused, Fail)
    assert (refused.status, refused.code) == (500, "quarantined")
    assert dispatched(many.arrived(arrival("3"), 3.0)) == ["3"], "another request is welcome"
    later = 2.0 + LIMITS.quarantine_ttl
    many.finished(many.worker_names()[0], "3", later)
    assert dispatched(many.arrived(structs.replace(poison, id="4"), later)) == ["4"]


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
        one.arrived(structs.replace(arrival("x"), id=f"a{number}"), 0.0)
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


def _hung_beside_fine(worker_lost: dict[str, bool], *, late: bool) -> Scheduler:
    """At 4.0 one of two workers is lost with a request of `hung`, the other serves `fine`; both have more."""
    two = scheduler(b"w1", b"w2")
    two.arrived(arrival("f0", "fine"), 0.0)
    two.arrived(arrival("h0", "hung", timeout=3.0 if late else 20.0), 0.0)
    two.arrived(arrival("h1", "hung"), 0.0)
    two.arrived(arrival("f1", "fine"), 0.0)
    assert two.worker_of("h0") == b"w1"
    if late:
        two.tick(3.0)
    two.lost(b"w1", 4.0, "gone", **worker_lost)
    return two


@pytest.mark.parametrize(("lost", "late"), [({"own_fault": False}, True), ({"own_fault": True}, False)])
def test_a_key_that_has_cost_a_worker_waits_for_the_successor(lost: dict[str, bool], late: bool) -> None:
    two = _hung_beside_fine(lost, late=late)
    assert dispatched(two.finished(b"w2", "f0", 4.1)) == ["f1"], "the other worker is left to the others"
    assert set(dispatched(two.joined(b"w3", 4.2))) <= {"h0", "h1"}
    assert [two.worker_of(id) for id in ("h0", "h1")].count(b"w3") == 1


def test_a_key_that_has_cost_a_worker_does_not_wait_for_ever() -> None:
    two = _hung_beside_fine({"own_fault": False}, late=True)
    two.finished(b"w2", "f0", 4.1)
    assert dispatched(two.finished(b"w2", "f1", 4.2)) == []
    alarm = two.next_alarm()
    assert alarm is not None
    assert 4.2 < alarm <= 7.0
    assert dispatched(two.tick(alarm)) == ["h1"]


def test_a_key_whose_worker_others_have_killed_goes_on_at_once() -> None:
    two = _hung_beside_fine({"own_fault": False}, late=False)
    assert dispatched(two.finished(b"w2", "f0", 4.1)) == ["h0"]


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
    child = structs.replace(arrival("child"), depth=1)
    assert one.arrived(child, 1.0) == [Reinforce(LIMITS.nested_depth)]
    for number in range(LIMITS.nested_depth):
        sent = one.joined(b"r%d" % number, 1.0, reserve=True)
        assert dispatched(sent) == (["child"] if number == 0 else [])
    assert dispatched(one.arrived(arrival("other"), 1.0)) == [], "the reserve is for nested requests only"
    sister = structs.replace(arrival("sister"), depth=1)
    assert dispatched(one.arrived(sister, 1.0)) == [], "its depth has had its share"
    grandchild = structs.replace(arrival("grandchild"), depth=2)
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


@pytest.mark.parametrize("event", ["joined", "finished", "leaving", "lost", "arrived", "late"])
def test_what_is_over_its_time_is_not_begun_though_no_tick_came(event: str) -> None:
    one = scheduler(b"w")
    running = "" if event == "joined" else "0"
    if running:
        one.arrived(arrival(running, timeout=100.0), 0.0)
    else:
        one.leaving(b"w", 0.0)
    one.arrived(arrival("1", idempotent=False), 0.0)
    later = {
        "joined": lambda: one.joined(b"w2", 10.0),
        "finished": lambda: one.finished(b"w", "0", 10.0),
        "leaving": lambda: [*one.leaving(b"w", 10.0), *one.finished(b"w", "0", 10.0)],
        "lost": lambda: [*one.joined(b"w2", 10.0), *one.lost(b"w", 10.0, "SIGSEGV")],
        "arrived": lambda: one.arrived(arrival("2", timeout=50.0), 10.0),
        "late": lambda: one.arrived(arrival("2", timeout=0.0), 10.0),
    }[event]()
    assert [d.status for d in later if isinstance(d, Fail) and d.id == "1"] in ([503], [504])
    assert not {"1"} & set(dispatched(later))
    assert not one.is_open("1")
    assert event != "late" or not one.is_open("2")


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=40))
@settings(deadline=None)
def test_within_a_key_the_first_comes_first(keys: list[str]) -> None:
    one = Scheduler(Limits(1000, 1e6, 1e6), 0.0)
    for number, key in enumerate(keys):
        one.arrived(Arrival(f"{key}{number}", b"h", key, True, 1e6), 0.0)
    (sent,) = one.joined(b"w", 1.0)
    order: list[str] = []
    while isinstance(sent, Dispatch):
        order.append(sent.id)
        sent = next(iter(one.finished(b"w", sent.id, 1.0)), Forget(""))
    for key in "ab":
        mine = [id for id in order if id[0] == key]
        assert mine == [f"{key}{number}" for number, said in enumerate(keys) if said == key]


def test_a_worker_that_runs_for_nobody_does_not_answer_a_later_request_of_that_name() -> None:
    one = Scheduler(Limits(10, 100.0, 100.0, share=2), 0.0)
    one.joined(b"old", 0.0)
    again = Arrival("1", b"h", "k", True, 50.0)
    one.arrived(again, 0.0)
    one.cancelled("1")
    one.joined(b"new", 0.0)
    assert one.arrived(again, 1.0) == [Dispatch(b"new", "1", 0.0, 50.0, 1)]
    assert one.answering(b"old", "1") == []
    assert one.finished(b"old", "1", 2.0) == []
    assert one.worker_of("1") == b"new"
    assert [rider.arrival.peer for rider in one.answering(b"new", "1")] == [b"h"]


def test_a_worker_that_leaves_may_finish_while_others_are_parked() -> None:
    one = Scheduler(Limits(1000, 10.0, 5.0, share=1), 0.0)
    for worker in (b"w1", b"w2", b"w3"):
        one.joined(worker, 0.0)
    for id, key in (("1", "a"), ("2", "b"), ("3", "a")):
        one.arrived(arrival(id, key), 0.0)
    leaving = one.worker_of("1")
    assert leaving is not None
    one.leaving(leaving, 1.0)
    decisions = one.finished(leaving, "1", 2.0)
    assert Release(leaving) in decisions
    assert dispatched(decisions) == ["3"]


def test_a_version_seen_while_a_half_written_one_is_tried_is_not_forgotten() -> None:
    """Workers tell of each version once; a transaction that fails must not swallow the next one."""
    two = scheduler(b"w1", b"w2")
    for worker in (b"w1", b"w2"):
        two.loaded(worker, Loaded("k", 1, "loaded", "v1", 0.1), 0.0)
    (scout,) = (d for d in two.changed("k", "half", 1.0) if isinstance(d, Load))
    assert [d for d in two.changed("k", "whole", 1.1) if isinstance(d, Load)] == []
    failed = Loaded("k", 2, "failed", "half", error="not a project")
    (again,) = (d for d in two.loaded(scout.worker, failed, 1.2) if isinstance(d, Load))
    found = two.loaded(again.worker, Loaded("k", 2, "loaded", "whole", 0.1), 1.3)
    (other,) = (d for d in found if isinstance(d, Load))
    two.loaded(other.worker, Loaded("k", 2, "loaded", "whole", 0.1), 1.4)
    sent = [d for d in two.arrived(arrival("1"), 1.5) if isinstance(d, Dispatch)]
    assert [(d.generation, d.version) for d in sent] == [(2, "whole")]
