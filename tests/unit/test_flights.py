# SPDX-License-Identifier: GPL-2.0-or-later
"""Single flight: requests that are the same share one rendering, and nothing else."""

from __future__ import annotations

from qgsd import messages
from qgsd.proxy.decisions import (
    Arrival,
    Continue,
    Decision,
    Dispatch,
    Fail,
    Forget,
    GiveBack,
    Limits,
    Loaded,
    Pause,
    Quarantined,
)
from qgsd.proxy.http.flight import flight, told_by
from qgsd.proxy.scheduler import Scheduler

LIMITS = Limits(max_queue=10, queue_timeout=10.0, worker_grace=5.0)


def arrival(id: str, timeout: float = 20.0, depth: int = 0, peer: bytes = b"http") -> Arrival:
    return Arrival(id, peer, "k", True, timeout, "print", depth=depth, flight="same")


def running(*workers: bytes) -> Scheduler:
    """Request 1 runs on the first worker."""
    scheduler = Scheduler(LIMITS, 0.0)
    for worker in workers or (b"w",):
        scheduler.joined(worker, 0.0)
    scheduler.arrived(arrival("1"), 0.0)
    return scheduler


def dispatched(decisions: list[Decision]) -> list[str]:
    return [decision.id for decision in decisions if isinstance(decision, Dispatch)]


def failed(decisions: list[Decision]) -> list[tuple[str, str]]:
    return [(decision.id, decision.code) for decision in decisions if isinstance(decision, Fail)]


def told(scheduler: Scheduler, worker: bytes, id: str = "1") -> list[str]:
    return [rider.arrival.id for rider in scheduler.answering(worker, id)]


def test_the_same_request_rides_though_workers_are_idle() -> None:
    two = running(b"w1", b"w2")
    assert two.arrived(arrival("2"), 1.0) == []
    assert (two.coalesced, two.waiting) == (1, 1)
    worker = two.worker_of("2")
    assert worker is not None
    assert told(two, worker) == ["1", "2"]
    assert two.waiting == 0
    two.finished(worker, "1", 2.0)
    assert not two.at_work


def test_once_the_answer_has_begun_nobody_joins() -> None:
    two = running(b"w1", b"w2")
    told(two, two.worker_of("1") or b"")
    assert dispatched(two.arrived(arrival("2"), 1.0)) == ["2"]


def test_nobody_joins_what_has_taken_long_already() -> None:
    two = running(b"w1", b"w2")
    assert dispatched(two.arrived(arrival("2"), 10.5)) == ["2"]


def test_nested_requests_do_not_ride() -> None:
    two = running(b"w1", b"w2")
    assert dispatched(two.arrived(arrival("2", depth=1), 1.0)) == ["2"]
    assert dispatched(running().arrived(arrival("2", depth=1), 1.0)) == []


def test_the_first_client_may_go() -> None:
    one = running()
    one.arrived(arrival("2"), 1.0)
    assert one.cancelled("1") == [Forget("1")]
    assert told(one, b"w") == ["2"]
    one.finished(b"w", "1", 2.0)
    assert not one.at_work


def test_each_has_its_own_deadline() -> None:
    one = running()
    one.arrived(arrival("2", timeout=5.0), 1.0)
    assert failed(one.tick(6.0)) == [("2", "timeout")]
    one.arrived(arrival("3"), 9.0)
    assert failed(one.tick(20.0)) == [("1", "timeout")]
    assert told(one, b"w") == ["3"]


def test_what_ran_out_of_time_for_the_first_is_begun_again_for_a_later_one() -> None:
    one = running()
    one.arrived(arrival("2"), 9.0)
    decisions = one.ran_out(b"w", "1", 19.9)
    assert failed(decisions) == [("1", "timeout")]
    assert [d.remaining for d in decisions if isinstance(d, Dispatch)] == [29.0 - 19.9]
    assert told(one, b"w") == ["2"]


def test_a_crash_counts_once_and_is_tried_again_once_for_all() -> None:
    one = running(b"w1")
    one.arrived(arrival("2"), 1.0)
    one.joined(b"w2", 1.0)
    first = one.worker_of("1")
    assert first == b"w1"
    assert dispatched(one.lost(b"w1", 2.0, "SIGSEGV")) == ["1"]
    one.joined(b"w3", 2.0)
    decisions = one.lost(b"w2", 3.0, "SIGSEGV")
    assert sum(isinstance(decision, Quarantined) for decision in decisions) == 1
    assert failed(decisions) == [("1", "quarantined"), ("2", "quarantined")]
    assert not one.at_work


def test_another_version_of_the_project_is_another_answer() -> None:
    one = running()
    one.loaded(b"w", Loaded("k", 1, "loaded", "v1"), 0.1)
    one.order(1, "hold", "k", 1.0)
    one.order(2, "release", "k", 1.0)
    one.arrived(arrival("2"), 1.0)
    assert told(one, b"w") == ["1"]
    assert one.coalesced == 0


def test_a_full_queue_counts_those_who_ride_and_makes_them_give_way() -> None:
    one = running()
    for number in range(2, 12):
        one.arrived(arrival(str(number)), 1.0)
    assert one.waiting == 10
    assert failed(one.arrived(arrival("12"), 1.0)) == [("12", "queue_full")]
    other = Arrival("other", b"http", "other", True, 20.0)
    assert failed(one.arrived(other, 1.0)) == [("11", "queue_full")]


def test_a_leaving_dispatcher_finishes_what_runs_and_hands_back_all_that_wait() -> None:
    one = running()
    one.arrived(arrival("2"), 1.0)
    for id in ("3", "4"):
        one.arrived(Arrival(id, b"http", "k", True, 20.0, flight="other"), 1.0)
    assert one.close() == [GiveBack(b"http", "3"), GiveBack(b"http", "4")]
    assert told(one, b"w") == ["1", "2"]


def test_a_client_that_reads_slowly_holds_the_others_for_a_while_only() -> None:
    one = running()
    one.arrived(arrival("2"), 0.0)
    told(one, b"w")
    assert one.pauses.held("2", 1.0) == [Pause(b"w", "1")]
    assert one.pauses.resumed("2", 3.0) == [Continue(b"w", "1")]
    one.pauses.held("2", 4.0)
    assert one.next_alarm() in (6.0, 7.0)
    assert one.tick(6.9) == []
    late, goes_on = one.tick(7.0)
    assert failed([late]) == [("2", "too_slow")]
    assert goes_on == Continue(b"w", "1")


def test_clients_that_are_all_slow_are_served_slowly() -> None:
    one = running()
    one.arrived(arrival("2"), 0.0)
    told(one, b"w")
    for id in ("1", "2"):
        one.pauses.held(id, 1.0)
    assert one.tick(9.0) == []
    assert one.pauses.resumed("2", 9.0) == []
    assert failed(one.tick(9.0)) == [("1", "too_slow")]


def test_what_tells_requests_apart() -> None:
    def identity(*headers: tuple[str, str], project: str = "p", url: str = "http://h/?A=1") -> str:
        return flight(project, url, told_by(list(headers)))

    plain = identity(("Host", "h"))
    assert plain == identity(("Host", "h"), ("traceparent", "00-1"), ("X-Request-Id", "7"))
    others = [
        identity(("Host", "h"), ("Authorization", "a")),
        identity(("Host", "h"), ("Authorization", "b")),
        identity(("Host", "h"), ("Cookie", "a")),
        identity(("Host", "h"), ("Accept-Language", "de")),
        identity(("Host", "h"), ("Cookie", ""), ("a", "b")),
        identity(("Host", "h"), ("Cookie", "a"), ("b", "")),
        identity(("Host", "g")),
        identity(("Host", "h"), project="q"),
        identity(("Host", "h"), url="http://h/?A=2"),
    ]
    assert len({plain, *others}) == len(others) + 1


def test_the_time_of_one_who_came_later() -> None:
    timing = messages.Timing(queue=3.0, load=1.0, render=2.0)
    part = messages.End("1", timing, True)
    for waited, expected in ((0.5, (0.0, 0.0, 0.5)), (2.5, (0.0, 0.5, 2.0)), (4.0, (1.0, 1.0, 2.0))):
        shared = messages.shared(part, "2", waited)
        assert isinstance(shared, messages.End)
        assert shared.timing == messages.Timing(*expected, shared=True)
        assert shared.id == "2"
