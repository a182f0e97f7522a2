# SPDX-License-Identifier: GPL-2.0-or-later
"""A full queue: who gives way to whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qgsd.proxy.decisions import Arrival, Decision, Fail, Limits
from qgsd.proxy.displacement import displaced
from qgsd.proxy.scheduler import Scheduler
from qgsd.proxy.waits import Waits

MAX = 8
LIMITS = Limits(max_queue=MAX, queue_timeout=60, worker_grace=60)


def arrive(scheduler: Scheduler, id: str, key: str, depth: int = 0) -> list[Decision]:
    return scheduler.arrived(Arrival(id, b"h", key, True, 60.0, id, depth), 1.0)


def flooded() -> Scheduler:
    """One worker busy, the queue full of one project."""
    scheduler = Scheduler(LIMITS, 0.0)
    scheduler.joined(b"w", 0.0)
    for number in range(MAX + 1):
        arrive(scheduler, f"flood{number}", "flood")
    assert scheduler.waiting == MAX
    return scheduler


def test_a_project_alone_has_the_whole_queue_and_no_more() -> None:
    (refused,) = arrive(flooded(), "more", "flood")
    assert isinstance(refused, Fail)
    assert (refused.id, refused.status, refused.code) == ("more", 503, "queue_full")


def test_another_project_takes_the_place_of_the_youngest_of_the_flood() -> None:
    scheduler = flooded()
    (gone,) = arrive(scheduler, "lone", "other")
    assert isinstance(gone, Fail)
    assert (gone.id, gone.status, gone.code) == (f"flood{MAX}", 503, "queue_full")
    assert (scheduler.waiting, scheduler.is_open("lone")) == (MAX, True)


def test_a_nested_request_takes_a_place_as_well() -> None:
    scheduler = flooded()
    decisions = arrive(scheduler, "nested", "flood", depth=1)
    assert [d.id for d in decisions if isinstance(d, Fail)] == [f"flood{MAX}"]


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(1, 9), max_size=6), st.integers(0, 9)
)
def test_lines_only_become_more_equal(lengths: dict[str, int], own: int) -> None:
    waits = Waits()
    for key, length in lengths.items():
        for number in range(length):
            waits.add(key, f"{key}-{number}")
    gone = displaced(waits, own, lambda id: True)
    longest = max(lengths.values(), default=0)
    if gone is None:
        assert longest <= own + 1
    else:
        key, _, number = gone.rpartition("-")
        assert (lengths[key], int(number)) == (longest, longest - 1)
        # Afterwards the line that lost is still at least as long as the newcomer's.
        assert longest - 1 >= own + 1


@given(st.lists(st.sampled_from("abcd"), max_size=60))
def test_every_project_gets_its_equal_share(keys: list[str]) -> None:
    scheduler = Scheduler(LIMITS, 0.0)
    scheduler.joined(b"w", 0.0)
    arrive(scheduler, "running", "z")
    ended: set[str] = set()
    for number, key in enumerate(keys):
        ended |= {d.id for d in arrive(scheduler, f"{key}{number}", key) if isinstance(d, Fail)}
        assert scheduler.waiting <= MAX
    asked = {key: keys.count(key) for key in set(keys)}
    kept = {key: sum(f"{k}{n}" not in ended for n, k in enumerate(keys) if k == key) for key in asked}
    for key, wanted in asked.items():
        # One less than the equal share at most, for the last newcomer does not displace an equal.
        assert kept[key] >= min(wanted, MAX // len(asked) - 1)
