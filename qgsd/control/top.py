# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view of `qgsdctl top`: what it shows (`View`, pure), and the loop of looks and keys around it."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from qgsd.control import tables
from qgsd.control.client import Client
from qgsd.control.errors import CommandFailed
from qgsd.control.records import ProcessRecord, Snapshot

_POINTS = 60
_BARS = "▁▂▃▄▅▆▇█"
_KEYS = "c CPU  m memory  r requests  a age  s slot  k kill  q quit"

_SORTS: dict[str, Callable[[ProcessRecord], float]] = {
    "c": lambda row: -row.cpu,
    "m": lambda row: -row.pss,
    "r": lambda row: -row.requests,
    "a": lambda row: -row.request_age,
}


def sparkline(values: list[float]) -> str:
    """One character a value, the tallest for the largest.

    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    most = max(values, default=0.0)
    if most <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(8 * value / most))] for value in values)


class View:
    """What is shown of a row of looks; `sort` is a key of `_SORTS`, or s for the order of `ps`."""

    def __init__(self) -> None:
        self.sort = "s"
        self.note = _KEYS
        self._last: tuple[float, Snapshot] | None = None
        self._rates: deque[float] = deque(maxlen=_POINTS)
        self._waits: deque[float] = deque(maxlen=_POINTS)

    def add(self, snapshot: Snapshot, now: float) -> None:
        """Another look, at `now` in seconds of any clock."""
        if self._last is not None:
            before, earlier = self._last
            answered = snapshot.status.counters.requests - earlier.status.counters.requests
            self._rates.append(max(0, answered) / max(0.001, now - before))
        self._waits.append(snapshot.status.queue.waiting)
        self._last = now, snapshot

    def show(self, snapshot: Snapshot, *, keys: bool = False) -> RenderableType:
        parts = [tables.status(snapshot.status)]
        if self._rates:
            parts.append(self._lines())
        parts += [Text(), tables.top(self._sorted(snapshot.processes))]
        if snapshot.queue:
            parts += [Text(), tables.queue(snapshot.queue)]
        if keys:
            parts += [Text(), Text(tables.clean(self.note), style="dim")]
        return Group(*parts)

    def _lines(self) -> Text:
        rates, waits = list(self._rates), list(self._waits)
        return Text.assemble(
            ("per second  ", "dim"), f"{rates[-1]:<7.1f} ", (sparkline(rates), "green"), "\n",
            ("waiting     ", "dim"), f"{waits[-1]:<7.0f} ", (sparkline(waits), "yellow"),
        )  # fmt: skip

    def _sorted(self, rows: list[ProcessRecord]) -> list[ProcessRecord]:
        key = _SORTS.get(self.sort)
        return rows if key is None else sorted(rows, key=key)


def watch(client: Client, interval: float) -> dict[str, Any]:
    """Show until q is pressed; the last look, as it came. Raises `ControlError`."""
    view = View()
    keys = _Keys(view, client)
    console = Console(markup=False, emoji=False, highlight=False)
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            told: dict[str, Any] = client.call("top")
            snapshot = msgspec.convert(told, Snapshot)
            view.add(snapshot, time.monotonic())
            until = time.monotonic() + interval
            while (left := until - time.monotonic()) > 0:
                live.update(view.show(snapshot, keys=True), refresh=True)
                if select.select([sys.stdin], [], [], left)[0] and not keys.pressed(
                    os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
                ):
                    return told


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Keys come as they are pressed, and are not echoed."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class _Keys:
    """What keys do."""

    def __init__(self, view: View, client: Client) -> None:
        self._view = view
        self._client = client
        # The number that is being typed after k.
        self._number: str | None = None

    def pressed(self, key: str) -> bool:
        """False when that was the end."""
        if self._number is not None:
            self._typed(key)
        elif key in _SORTS or key == "s":
            self._view.sort = key
        elif key == "k":
            self._number = ""
            self._view.note = "kill slot or pid: "
        elif key in ("q", "", "\x04"):
            return False
        return True

    def _typed(self, key: str) -> None:
        assert self._number is not None
        if key.isdigit():
            self._number += key
        elif key in ("\x7f", "\b"):
            self._number = self._number[:-1]
        else:
            number, self._number = self._number, None
            self._view.note = _KEYS
            if key in ("\r", "\n") and number:
                self._kill(int(number))
            return
        self._view.note = f"kill slot or pid: {self._number}"

    def _kill(self, target: int) -> None:
        try:
            self._client.call("kill", target=target, wait=False)
        except CommandFailed as error:
            self._view.note = error.message
        else:
            self._view.note = f"{target} is killed and will be replaced"
