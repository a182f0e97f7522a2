# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules by which workers that run are replaced or ended."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.master import recycling, vitals
from qgsd.master.policy import Drain, Kill, Retire, Start, decide
from qgsd.master.snapshot import ChildView, Limits, Memory, Snapshot, Targets, Vitals
from qgsd.master.vitals import Sample
from qgsd.scoreboard import Scoreboard, State

MIB = 1 << 20
LIMITS = Limits(
    60.0, 1.0, 30.0, beat_timeout=5.0, burn_timeout=30.0, stall_timeout=10.0, memory_limit=500 * MIB,
    memory_hard_limit=900 * MIB, high_water=0.9, max_requests=1000, max_age=3600.0,
)  # fmt: skip
NOW = 1000.0
NO_MEMORY = Memory()
TEMPLATE = ChildView(90, "template", 0, 1, "ready", 0.0)


def worker(
    key: int = 1, slot: int = 0, deadline: float = 0.0, phase: str = "ready", **health: float
) -> ChildView:
    facts = Vitals(**({"beat_at": NOW, "requests": 1} | health))  # type: ignore[arg-type]
    return ChildView(key, "worker", slot, 1, phase, 10.0, 11.0, deadline=deadline, vitals=facts)  # type: ignore[arg-type]


def look(
    *children: ChildView, memory: Memory = NO_MEMORY, limits: Limits = LIMITS, workers: int = 1
) -> Snapshot:
    targets = Targets(1, {"template": 1, "worker": workers})
    return Snapshot(NOW, "no", targets, limits, (TEMPLATE, *children), memory=memory)


@pytest.mark.parametrize(
    ("child", "cause", "words"),
    [
        (worker(memory=901 * MIB), "memory", "901 MiB, the hard limit is 900 MiB"),
        (worker(beat_at=NOW - 6), "silent", "no life for 6.0 s"),
        (worker(deadline=NOW + 5, stuck_since=NOW - 11), "stuck", "no processor time for 11.0 s"),
        (worker(deadline=NOW + 5, stopped_since=NOW - 2.5), "halted", "by a signal (SIGSTOP) for 2.5 s"),
        (worker(deadline=NOW - 2), "deadline", "2.0 s over the deadline"),
    ],
)
def test_who_is_ended_and_why(child: ChildView, cause: str, words: str) -> None:
    (kill,) = decide(look(child))
    assert isinstance(kill, Kill)
    assert (kill.cause, words in kill.reason) == (cause, True), kill


@pytest.mark.parametrize(
    ("child", "words"),
    [
        (worker(memory=501 * MIB), "501 MiB, the limit is 500 MiB"),
        (worker(requests=1101), "1101 requests, the limit is 1000"),
        (worker(burning_since=NOW - 31), "used a processor for 31 s"),
    ],
)
def test_who_is_retired_and_why(child: ChildView, words: str) -> None:
    retire, start = decide(look(child))
    assert isinstance(retire, Retire)
    assert words in retire.reason
    assert start == Start("worker", 0), "the successor comes first"


def test_a_retired_worker_serves_until_its_successor_is_ready() -> None:
    old = dataclasses.replace(worker(1), retiring="too large")
    assert decide(look(old, dataclasses.replace(worker(2, phase="starting"), started_at=NOW))) == []
    assert decide(look(old, worker(2))) == [Drain(1, "too large", LIMITS.linger)]


def test_silence_while_the_master_slept_is_no_silence() -> None:
    asleep = look(worker(beat_at=NOW - 60))
    assert decide(asleep) != []
    assert decide(dataclasses.replace(asleep, watched_since=NOW - 1)) == []


def test_a_busy_worker_need_not_beat() -> None:
    assert decide(look(worker(beat_at=NOW - 60, deadline=NOW + 5))) == []


def test_under_pressure_the_largest_goes_and_only_one_at_a_time() -> None:
    full = Memory(95 * MIB, 100 * MIB)
    small, large = worker(1, 0, memory=100 * MIB), worker(2, 1, memory=300 * MIB)
    retired = [a for a in decide(look(small, large, memory=full, workers=2)) if isinstance(a, Retire)]
    assert [retire.key for retire in retired] == [2]
    assert "95 % of 100 MiB are in use, the mark is 90 %" in retired[0].reason
    going = dataclasses.replace(large, retiring="pressure")
    again = decide(look(small, going, memory=full, workers=2))
    assert not [action for action in again if isinstance(action, Retire)]
    assert not [
        a for a in decide(look(small, large, memory=Memory(85, 100), workers=2)) if isinstance(a, Retire)
    ]


def test_without_bounds_nobody_goes() -> None:
    since = dict.fromkeys(("beat_at", "burning_since", "stuck_since", "stopped_since"), 1.0)
    fat = worker(memory=10_000 * MIB, requests=10**9, **since)
    assert decide(look(fat, limits=Limits(60.0, 1.0, 30.0), memory=Memory(100, 100))) == []


@given(
    st.integers(0, 500),
    st.floats(995.0, 1000.0),
    st.floats(971.0, 1000.0),
    st.integers(0, 999),
    st.integers(1, 2000),
)
def test_a_healthy_worker_is_left_alone(
    mib: int, beat: float, burning: float, requests: int, key: int
) -> None:
    healthy = worker(key, memory=mib * MIB, beat_at=beat, burning_since=burning, requests=requests)
    assert recycling.why_end(healthy, look(healthy)) == ("", "")
    assert recycling.why_retire(healthy, look(healthy)) == ("", "")
    assert decide(look(healthy)) == []


def test_workers_of_one_age_do_not_go_at_one_time() -> None:
    assert len({recycling.spread(worker(key)) for key in range(1, 20)}) > 10


# Judging samples.


def row(state: State, since: float = 0.0):  # type: ignore[no-untyped-def]
    made = Scoreboard.create().row(1)
    made.state, made.since = state, since
    return made


def test_burning_counts_from_the_first_look_and_ends_with_rest() -> None:
    idle = row(State.IDLE)
    first = vitals.judge(Vitals(), Sample(1.0, 0.0, 5), Sample(2.0, 0.9, 5), idle)
    second = vitals.judge(first, Sample(2.0, 0.9, 5), Sample(3.0, 1.8, 5), idle)
    assert (first.burning_since, second.burning_since) == (1.0, 1.0)
    assert vitals.judge(second, Sample(3.0, 1.8, 5), Sample(4.0, 1.8, 5), idle).burning_since == 0.0


def test_what_requests_have_used_is_not_burning() -> None:
    idle = row(State.IDLE)
    idle.requests = 5
    assert vitals.judge(Vitals(), Sample(1.0, 0.0, 5), Sample(2.0, 0.9, 5), idle).burning_since == 0.0


def test_standing_still_counts_for_one_request_only() -> None:
    still = vitals.judge(Vitals(), Sample(1.0, 0.0, 5), Sample(2.0, 0.0, 5), row(State.BUSY, 0.5))
    assert still.stuck_since == 1.0
    other = vitals.judge(still, Sample(2.0, 0.0, 5), Sample(3.0, 0.0, 5), row(State.BUSY, 2.5))
    assert other.stuck_since == 0.0


def test_a_stopped_process_is_seen_until_it_goes_on() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        stopped = vitals.sample(process.pid, 2.0)
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED)
        running = vitals.sample(process.pid, 4.0)
        process.kill()
    assert stopped is not None
    assert running is not None
    first = vitals.judge(Vitals(), None, stopped, row(State.BUSY))
    again = vitals.judge(first, stopped, dataclasses.replace(stopped, at=3.0), row(State.BUSY))
    assert (first.stopped_since, again.stopped_since) == (2.0, 2.0)
    assert vitals.judge(again, stopped, running, row(State.BUSY)).stopped_since == 0.0


def test_the_limit_of_the_control_group_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert vitals.memory_of_the_whole(tmp_path) == Memory(600, 1000)
    (tmp_path / "memory.max").write_text("max\n")
    assert vitals.memory_of_the_whole(tmp_path).total > 1 << 27
