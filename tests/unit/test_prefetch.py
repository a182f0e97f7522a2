# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker is handed its next request before it asks, where that can do no harm."""

from __future__ import annotations

import pytest

from qgsd.proxy.decisions import Arrival, Decision, Dispatch, Forget, Limits, Loaded, Recall, Release
from qgsd.proxy.scheduler import Scheduler

LIMITS = Limits(max_queue=10, queue_timeout=10.0, worker_grace=5.0)
TOOK = 0.1


def arrival(id: str, key: str = "k", kind: str = "tile", **more: object) -> Arrival:
    return Arrival(id, b"http", key, True, 20.0, **({"kind": kind} | more))  # type: ignore[arg-type]


def sent(decisions: list[Decision]) -> list[tuple[str, bytes]]:
    return [(one.id, one.worker) for one in decisions if isinstance(one, Dispatch)]


def recalled(decisions: list[Decision]) -> list[tuple[str, bytes]]:
    return [(one.id, one.worker) for one in decisions if isinstance(one, Recall)]


def practised(*workers: bytes, keys: str = "k", took: float = TOOK, prefetches: bool = True) -> Scheduler:
    """Workers that have the projects open, where a request of the kind "tile" takes so long. It is 10.0."""
    scheduler = Scheduler(LIMITS, 0.0)
    for worker in workers:
        has_open = [Loaded(key, 1, "loaded", "v1", 1.0) for key in keys]
        scheduler.joined(worker, 0.0, has_open=has_open, prefetches=prefetches)
    for key in keys:
        [(id, worker)] = sent(scheduler.arrived(arrival(f"before-{key}", key), 1.0))
        scheduler.finished(worker, id, 1.0 + took)
    return scheduler


def test_the_next_one_is_there_when_the_first_has_ended() -> None:
    one = practised(b"w")
    assert sent(one.arrived(arrival("1"), 10.0)) == [("1", b"w")]
    assert sent(one.arrived(arrival("2"), 10.0)) == [("2", b"w")]
    assert one.waiting == 0
    assert sent(one.arrived(arrival("3"), 10.0)) == [], "one is enough"
    assert sent(one.finished(b"w", "1", 10.1)) == [("3", b"w")]
    assert [rider.arrival.id for rider in one.answering(b"w", "2")] == ["2"]


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("one that nothing is known of", {"kind": "print"}),
        ("one that changes data", {"idempotent": False}),
        ("one that another request waits for", {"depth": 1, "parent": "1"}),
        ("one of a project that is not open there", {"key": "other"}),
    ],
)
def test_others_wait_in_the_queue(what: str, more: dict[str, object]) -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    fields = {"id": "2", "peer": b"http", "key": "k", "idempotent": True, "timeout": 20.0, "kind": "tile"}
    assert sent(one.arrived(Arrival(**(fields | more)), 10.0)) == [], what  # type: ignore[arg-type]


def test_nobody_is_overtaken() -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    one.arrived(arrival("2", "other"), 10.0)
    # The request of the other project came first; a worker that has to load it must be idle.
    assert sent(one.arrived(arrival("3"), 10.0)) == []
    assert [id for id, _ in sent(one.finished(b"w", "1", 10.4))] == ["2"]


def test_slow_work_is_not_decided_on_in_advance() -> None:
    one = practised(b"w", took=2.0)
    one.arrived(arrival("1"), 10.0)
    assert sent(one.arrived(arrival("2"), 10.0)) == []


def test_a_worker_of_an_older_version_gets_one_at_a_time() -> None:
    one = practised(b"w", prefetches=False)
    one.arrived(arrival("1"), 10.0)
    assert sent(one.arrived(arrival("2"), 10.0)) == []


def test_an_idle_worker_takes_what_was_handed_to_another() -> None:
    two = practised(b"w1", b"w2")
    [(_, first)] = sent(two.arrived(arrival("1"), 10.0))
    [(_, second)] = sent(two.arrived(arrival("2"), 10.02))
    assert sent(two.arrived(arrival("3"), 10.03)) == [("3", first)]
    decisions = two.finished(second, "2", 10.04)
    assert recalled(decisions) == [("3", first)]
    assert sent(decisions) == [("3", second)]
    # Until it has heard of that it gets nothing: it might have begun.
    two.finished(first, "1", 10.1)
    assert sent(two.arrived(arrival("4"), 10.1)) == [("4", second)]
    assert sent(two.arrived(arrival("5"), 10.1)) == []
    assert ("5", first) in sent(two.declined(first, "3", 10.1))


def test_an_answer_that_was_begun_too_late_reaches_nobody() -> None:
    two = practised(b"w1", b"w2")
    [(_, first)] = sent(two.arrived(arrival("1"), 10.0))
    [(_, second)] = sent(two.arrived(arrival("2"), 10.02))
    two.arrived(arrival("3"), 10.03)
    two.finished(second, "2", 10.04)
    two.finished(first, "1", 10.1)
    assert two.answering(first, "3") == []
    assert two.finished(first, "3", 10.2) == []
    assert [rider.arrival.id for rider in two.answering(second, "3")] == ["3"]


def test_a_slow_worker_does_not_keep_what_it_was_handed() -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    one.arrived(arrival("2"), 10.0)
    alarm = one.next_alarm()
    assert alarm is not None
    assert 10.1 < alarm < 10.5
    assert recalled(one.tick(alarm)) == [("2", b"w")]
    assert one.waiting == 1
    # It is not handed over a second time.
    assert sent(one.declined(b"w", "2", 10.5)) == []


def test_who_leaves_has_nothing_next() -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    one.arrived(arrival("2"), 10.0)
    assert recalled(one.leaving(b"w", 10.05)) == [("2", b"w")]
    assert one.finished(b"w", "1", 10.1) == [], "it may have begun the other one"
    assert one.declined(b"w", "2", 10.1) == [Release(b"w")]
    assert one.waiting == 1


def test_what_was_sent_to_one_that_leaves_waits_again() -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    one.leaving(b"w", 10.0)
    assert one.declined(b"w", "1", 10.0) == [Release(b"w")]
    assert one.waiting == 1


def test_a_crash_is_not_the_next_ones_fault() -> None:
    one = practised(b"w")
    one.arrived(arrival("1", fingerprint="bad"), 10.0)
    one.arrived(arrival("2", fingerprint="good"), 10.0)
    one.lost(b"w", 10.05, "SIGSEGV")
    again = one.joined(b"w2", 10.1, has_open=[Loaded("k", 1, "loaded", "v1", 1.0)], prefetches=True)
    attempts = {each.id: each.attempt for each in again if isinstance(each, Dispatch)}
    # The one that may have cost a worker is first, and alone.
    assert len(attempts) == 1
    (id, attempt), worker = next(iter(attempts.items())), b"w2"
    assert (id, attempt) in {("1", 2), ("2", 1)}
    one.lost(worker, 10.2, "SIGSEGV")
    assert one.quarantine.blocks("bad", 10.3) == (id == "1")
    assert not one.quarantine.blocks("good", 10.3)


def test_nothing_is_run_for_a_client_that_has_gone() -> None:
    one = practised(b"w")
    one.arrived(arrival("1"), 10.0)
    one.arrived(arrival("2"), 10.0)
    assert one.cancelled("2") == [Forget("2"), Recall(b"w", "2")]


def test_nested_requests_come_first() -> None:
    two = practised(b"w1", b"w2")
    for id in ("1", "2"):
        two.arrived(arrival(id), 10.0)
    two.arrived(arrival("inner", depth=1, parent="1"), 10.01)
    assert sent(two.arrived(arrival("3"), 10.02)) == [], "it would be before one that others wait for"


def test_no_project_takes_more_workers_so() -> None:
    two = practised(b"w1", b"w2", keys="ab")
    [(_, first)] = sent(two.arrived(arrival("1", "a"), 10.0))
    [(_, second)] = sent(two.arrived(arrival("2", "b"), 10.0))
    two.arrived(arrival("3", "a"), 10.01)
    assert two.worker_of("3") in (None, first)
    assert second != first
