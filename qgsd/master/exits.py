# SPDX-License-Identifier: GPL-2.0-or-later
"""How a child ended, what that is called, and how long its slot rests."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable

from qgsd.control.records import EndCount
from qgsd.errors import StartError
from qgsd.master import backoff
from qgsd.master.children import ChildRecord, Children
from qgsd.master.events import EventLog
from qgsd.master.snapshot import Role

_START_TRIES = 4
# Signals that a process brings upon itself by what it does. SIGKILL and SIGTERM come from outside.
_OWN_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS}

# Why a worker is killed for what its request, or the project it loads, does.
_OWN_CAUSES = ("deadline", "stuck", "memory")

Lost = Callable[[ChildRecord, str, bool], None]


def how_ended(status: int | None) -> str:
    """In words: `was ended by SIGSEGV`."""
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended by itself with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _crash_word(status: int | None) -> str:
    """The signal, or that it was none."""
    if status is None or status >= 0:
        return "exit"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return "signal"


def is_own_fault(status: int | None) -> bool:
    """Whether what it did, not somebody else, ended the process."""
    return status is not None and (status > 0 or -status in _OWN_SIGNALS)


def _request_of(record: ChildRecord) -> dict[str, str]:
    """The id of the request that was running in it, for the details of an event."""
    id = record.row.request if record.role == "worker" else ""
    return {"request": id} if id else {}


class Exits:
    """Judges each end. `lost(record, reason, own_fault)` tells the dispatcher of every worker's."""

    def __init__(self, children: Children, events: EventLog, lost: Lost) -> None:
        self._children = children
        self._events = events
        self._lost = lost
        self.crashes = 0
        self._counts: Counter[tuple[Role, str, str]] = Counter()
        self._startup_failure: tuple[ChildRecord, str] | None = None

    def counts(self) -> list[EndCount]:
        """How often children of each role have ended how."""
        return [EndCount(*kind, count) for kind, count in sorted(self._counts.items())]

    def judge(
        self, record: ChildRecord, status: int | None, *, longest_pause: float, served_yet: bool
    ) -> bool:
        """Record the end of a child. False when it shows that the instance cannot start at all."""
        if record.kill_cause:
            failed = self._killed(record)
        elif record.has_drained and status == 0:
            reason = record.retiring or record.drain_reason or "of its own accord"
            details = {"slot": record.slot, "pid": record.pid}
            self._events.add(f"{record.role}.drained", f"{record.name} has gone: {reason}", details)
            # One asked to go while it joined never said goodbye, and its greeting may arrive after it.
            self._lost(record, reason, False)
            how = ("retired", record.retire_cause) if record.retiring else ("drained", "drained")
            self._counts[record.role, *how] += 1
            failed = ""
        else:
            failed = self._crashed(record, status)
        if failed and (is_own_fault(status) or record.ready_at is None):
            # One that worked until somebody else killed it says nothing about the next.
            self._pause(record, longest_pause)
        return served_yet or not failed or not self._is_hopeless(record, failed)

    def _killed(self, record: ChildRecord) -> str:
        """How it failed, where the slot's next child may fail likewise."""
        reason = f"{record.name} was killed: {record.kill_reason}"
        details = {"slot": record.slot, "pid": record.pid, "cause": record.kill_cause} | _request_of(record)
        self._events.add(f"{record.role}.killed", reason, details)
        self._counts[record.role, "killed", record.kill_cause] += 1
        self._lost(record, record.kill_reason, record.kill_cause in _OWN_CAUSES)
        late = record.kill_cause == "start_timeout"
        return "was killed, because it was not ready in time" if late else ""

    def _crashed(self, record: ChildRecord, status: int | None) -> str:
        how = how_ended(status)
        doing = f" while it served {record.row.project}" if record.row.deadline else ""
        details = {"slot": record.slot, "pid": record.pid, "status": status} | _request_of(record)
        self._events.add(f"{record.role}.crashed", f"{record.name} {how}{doing}", details)
        self.crashes += 1
        self._counts[record.role, "crashed", _crash_word(status)] += 1
        self._lost(record, how, is_own_fault(status))
        return how

    def _pause(self, record: ChildRecord, longest: float) -> None:
        slot = (record.role, record.slot)
        served = None if record.ready_at is None else time.monotonic() - record.ready_at
        past = backoff.after_crash(self._children.failures.get(slot, backoff.Record()), served=served)
        self._children.failures[slot] = past
        pause = backoff.pause(past, longest)
        if pause:
            reason = f"{record.name} failed {past.failures} times in a row, it rests {pause:.1f} s"
            self._events.add(f"{record.role}.backoff", reason, {"slot": record.slot, "seconds": pause})
            self._children.resting[slot] = time.monotonic() + pause

    def _is_hopeless(self, record: ChildRecord, how: str) -> bool:
        """Before the instance ever served, a child that cannot start is a mistake to tell.

        A worker gets a few tries: QGIS may crash once.
        """
        failures = self._children.failures.get((record.role, record.slot), backoff.Record()).failures
        if record.role == "worker" and failures < _START_TRIES:
            return False
        self._startup_failure = (record, how)
        return True

    def raise_startup_failure(self) -> None:
        """Raises `StartError` when the instance ended because a child could not start."""
        if self._startup_failure is not None:
            record, how = self._startup_failure
            told = f"the {record.name} child {how} before it was ready; see the log"
            raise StartError(record.last_error or told)
