# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever way a worker ends, the dispatcher is told: its greeting may arrive after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from qgsd import channel
from qgsd.channel import MasterEnd
from qgsd.master.children import ChildRecord, Children
from qgsd.master.events import EventLog
from qgsd.master.exits import Exits
from qgsd.scoreboard import Scoreboard, State

Told = list[tuple[str, bool]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def exits(told: Told) -> Exits:
    def lost(record: ChildRecord, reason: str, own_fault: bool) -> None:
        told.append((record.name, own_fault))

    return Exits(Children(Scoreboard.create()), EventLog(), lost)


@pytest.fixture
def worker() -> Iterator[ChildRecord]:
    ours, theirs = channel.pair()
    pipe, other = os.pipe()
    row = Scoreboard.create().row(1)
    yield ChildRecord(1, "worker", 0, 1, row, MasterEnd(ours), 0.0, pipe, ready_at=1.0)
    for end in (ours, theirs):
        end.close()
    for end in (pipe, other):
        os.close(end)


def judge(exits: Exits, worker: ChildRecord, status: int) -> None:
    exits.judge(worker, status, longest_pause=1.0, served_yet=True)


def test_one_that_was_asked_to_go(exits: Exits, worker: ChildRecord, told: Told) -> None:
    worker.drained_at, worker.drain_reason = 2.0, "scaled to 1"
    judge(exits, worker, 0)
    assert (told, exits.crashes) == ([("worker 0", False)], 0)
    assert exits._events.recent[-1].reason == "worker 0 has gone: scaled to 1"


def test_one_that_goes_of_its_own_accord_is_no_crash(exits: Exits, worker: ChildRecord, told: Told) -> None:
    worker.row.state = State.DRAINING
    judge(exits, worker, 0)
    assert (told, exits.crashes) == ([("worker 0", False)], 0)


@pytest.mark.parametrize(
    ("status", "own_fault"), [(-signal.SIGSEGV, True), (-signal.SIGKILL, False), (0, False)]
)
def test_one_that_died(exits: Exits, worker: ChildRecord, told: Told, status: int, own_fault: bool) -> None:
    judge(exits, worker, status)
    assert (told, exits.crashes) == ([("worker 0", own_fault)], 1)


@pytest.mark.parametrize(("cause", "own_fault"), [("deadline", True), ("memory", True), ("halted", False)])
def test_one_that_was_killed(
    exits: Exits, worker: ChildRecord, told: Told, cause: str, own_fault: bool
) -> None:
    worker.kill_cause, worker.kill_reason = cause, "for a reason"
    judge(exits, worker, -signal.SIGKILL)
    assert (told, exits.crashes) == ([("worker 0", own_fault)], 0)
