# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view of `qgsdctl top`: the loop of looks and keys around what `top_view` draws."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from qgsd.control import tables
from qgsd.control.client import Client
from qgsd.control.errors import CommandFailed
from qgsd.control.records import ProcessRecord, Snapshot
from qgsd.control.top_view import KEYS, SLOT_ORDER, SORTS, View

_END, _BACK, _ENTER = "\x04", ("\x7f", "\b"), ("\r", "\n")


def watch(client: Client, interval: float) -> dict[str, Any]:
    """Show until q is pressed; the last look, as it came. Raises `ControlError`."""
    view = View()
    keys = Keys(view, client)
    console = Console(markup=False, emoji=False, highlight=False)
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            told: dict[str, Any] = client.call("top")
            snapshot = msgspec.convert(told, Snapshot)
            keys.processes = snapshot.processes
            view.add(snapshot, time.monotonic())
            until = time.monotonic() + interval
            while (left := until - time.monotonic()) > 0:
                live.update(view.show(snapshot, height=console.size.height, keys=True), refresh=True)
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


class Keys:
    """What keys do: sort, end, and kill in three steps (k, a number and Enter, y)."""

    def __init__(self, view: View, client: Client) -> None:
        self.processes: list[ProcessRecord] = []
        self._view = view
        self._client = client
        # The number that is being typed after k, then the process that y would kill.
        self._number: str | None = None
        self._doomed: ProcessRecord | None = None

    def pressed(self, key: str) -> bool:
        """False when that was the end."""
        if self._doomed is not None:
            self._answered(key)
        elif self._number is not None:
            self._typed(key)
        elif key in SORTS or key == SLOT_ORDER:
            self._view.sort = key
        elif key == "k":
            self._number = ""
            self._ask_number()
        elif key in ("q", "", _END):
            return False
        else:
            self._view.note = KEYS
        return True

    def _ask_number(self) -> None:
        self._view.note = f"kill slot or pid: {self._number}"

    def _typed(self, key: str) -> None:
        assert self._number is not None
        if key.isdigit():
            self._number += key
        elif key in _BACK:
            self._number = self._number[:-1]
        else:
            number, self._number = self._number, None
            self._view.note = KEYS
            if key in _ENTER and number:
                self._choose(int(number))
            return
        self._ask_number()

    def _choose(self, number: int) -> None:
        found = [row for row in self.processes if row.pid == number]
        found = found or [
            row for row in self.processes if row.role == "worker" and row.slot == number and row.pid
        ]
        if not found or found[0].role == "master":
            self._view.note = f"{number} is neither the slot of a worker nor the pid of a child"
            return
        self._doomed = found[0]
        self._view.note = f"kill {description(found[0])}? y to do it, any other key not"

    def _answered(self, key: str) -> None:
        doomed, self._doomed = self._doomed, None
        assert doomed is not None
        if key != "y":
            self._view.note = "nothing was killed"
            return
        try:
            # By its pid: its slot may have another process by now, which nobody wants killed.
            self._client.call("kill", target=doomed.pid, wait=False)
        except CommandFailed as error:
            self._view.note = error.message
        else:
            self._view.note = (
                f"{tables.process_name(doomed)} (pid {doomed.pid}) is killed and will be replaced"
            )


def description(record: ProcessRecord) -> str:
    """A process with what killing it would break off."""
    text = f"{tables.process_name(record)} (pid {record.pid})"
    if record.request_age:
        text += f", at a request for {record.project or 'no project'} for {record.request_age:.1f} s"
    return text
