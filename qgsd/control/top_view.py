# SPDX-License-Identifier: GPL-2.0-or-later
"""What `qgsdctl top` shows, made of a row of looks. It draws, and neither asks nor reads keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from qgsd.control import tables
from qgsd.control.records import ProcessRecord, QueueRecord, Snapshot, Status

Row = TypeVar("Row", ProcessRecord, QueueRecord)

_COLUMNS = 60
_COLUMN_SECONDS = 5.0
_ROOM_FOR_TRENDS = 16
_TITLE = 2
_BARS = "▁▂▃▄▅▆▇█"

SORTS: dict[str, Callable[[ProcessRecord], float]] = {
    "c": lambda row: -row.cpu,
    "m": lambda row: -row.pss,
    "r": lambda row: -row.requests,
    "a": lambda row: -row.request_age,
}
"""The keys that sort, and by what."""

SLOT_ORDER = "s"
"""The key for the order of `ps`."""

KEYS = "sort by  c CPU  m memory  r requests  a age  s slot    k kill  q quit"


def sparkline(values: list[float]) -> str:
    """One character a value, the tallest for the largest.

    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(8 * value / most))] for value in values)


class Trend:
    """A figure over the last five minutes: `last` as it was told, `means` of five seconds each."""

    def __init__(self) -> None:
        self.last = 0.0
        self.means: deque[float] = deque(maxlen=_COLUMNS)
        self._begun = float("-inf")
        self._count = 0

    def add(self, value: float, now: float) -> None:
        self.last = value
        if now - self._begun >= _COLUMN_SECONDS:
            self._begun, self._count = now, 1
            self.means.append(value)
            return
        self._count += 1
        self.means[-1] += (value - self.means[-1]) / self._count


class View:
    """What is shown of a row of looks; `sort` is a key of `SORTS`, or s for the order of `ps`."""

    def __init__(self) -> None:
        self.sort = SLOT_ORDER
        self.note = KEYS
        self._last: tuple[float, Status] | None = None
        self._answered, self._failed = Trend(), Trend()
        self._waiting, self._busy = Trend(), Trend()

    def add(self, snapshot: Snapshot, now: float) -> None:
        """Another look, at `now` in seconds of any clock."""
        status = snapshot.status
        self._waiting.add(status.queue.waiting, now)
        if self._last is not None:
            before, earlier = self._last
            seconds = max(0.001, now - before)
            new, old = status.counters, earlier.counters
            self._answered.add(max(0, new.requests - old.requests) / seconds, now)
            failed = new.errors + new.timeouts - old.errors - old.timeouts
            self._failed.add(max(0, failed) / seconds, now)
            self._busy.add(_share_at_work(earlier, status), now)
        self._last = now, status

    def show(self, snapshot: Snapshot, *, height: int | None = None, keys: bool = False) -> RenderableType:
        """The whole picture, or as much of it as `height` lines hold."""
        head: list[RenderableType] = [tables.status_line(snapshot.status), tables.work_line(snapshot.status)]
        if self._answered.means and (height is None or height >= _ROOM_FOR_TRENDS):
            head += self._trends()
        foot: list[RenderableType] = [Text(), Text(tables.clean(self.note), style="dim")] if keys else []
        room = None if height is None else height - len(head) - len(foot)
        queue = _queue_lines(snapshot.queue, room)
        # The header and the line above it take two.
        left = None if room is None else room - len(queue) - _TITLE
        processes, more = _cut(self._sorted(snapshot.processes), left)
        return Group(*head, Text(), tables.top(processes), *_more(more, "processes"), *queue.parts, *foot)

    def _trends(self) -> list[RenderableType]:
        return [
            _line("answers/s", f"{self._answered.last:.1f}", self._answered, "green"),
            _line("failing/s", f"{self._failed.last:.1f}", self._failed, "red"),
            _line("waiting", f"{self._waiting.last:.0f}", self._waiting, "yellow"),
            _line("busy", f"{100 * self._busy.last:.0f}%", self._busy, "cyan"),
        ]

    def _sorted(self, rows: list[ProcessRecord]) -> list[ProcessRecord]:
        key = SORTS.get(self.sort)
        return rows if key is None else sorted(rows, key=key)


class _Lines:
    """The part about the queue, and how many lines it takes."""

    def __init__(self, parts: list[RenderableType], count: int) -> None:
        self.parts = parts
        self._count = count

    def __len__(self) -> int:
        return self._count


def _queue_lines(rows: list[QueueRecord], room: int | None) -> _Lines:
    """A third of the room at most; nothing where that would be a row or less."""
    most = None if room is None else room // 3 - _TITLE
    if not rows or (most is not None and most < min(2, len(rows))):
        return _Lines([], 0)
    kept, more = _cut(rows, most)
    return _Lines(
        [Text(), tables.queue(kept), *_more(more, "projects")], _TITLE + len(kept) + (1 if more else 0)
    )


def _cut(rows: list[Row], room: int | None) -> tuple[list[Row], int]:
    """As many as there is room for, a line kept for saying how many are left out."""
    if room is None or len(rows) <= room:
        return rows, 0
    kept = max(1, room - 1)
    return rows[:kept], len(rows) - kept


def _more(count: int, what: str) -> list[RenderableType]:
    return [Text(f"… and {count} more {what}", style="dim")] if count else []


def _line(name: str, figure: str, trend: Trend, colour: str) -> RenderableType:
    return Text.assemble((f"{name:<10}", "dim"), f"{figure:>8}  ", (sparkline(list(trend.means)), colour))


def _share_at_work(earlier: Status, now: Status) -> float:
    """Of the time that workers were there between two looks, the part at work; 0 where none were."""
    there = now.worker_time.total - earlier.worker_time.total
    at_work = now.worker_time.busy - earlier.worker_time.busy
    return min(1.0, max(0.0, at_work / there)) if there > 0 else 0.0
