# SPDX-License-Identifier: GPL-2.0-or-later
"""What the control commands may ask of a master.

The commands know this interface and nothing else of the master, the master
implements it and knows nothing of sockets or JSON. An operation that changes
something returns when its effect is there (`wait`), or when it is accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from qgsd.control.records import (
    EventRecord,
    PluginRecord,
    ProcessRecord,
    ProjectRecord,
    QuarantineRecord,
    QueueRecord,
    ReloadRecord,
    Status,
)

Progress = Callable[[dict[str, Any]], None]


class Refused(Exception):
    """The master will not or cannot do what was asked; `code` is a word for scripts, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Operations(Protocol):
    """The verbs of a running instance. Each raises `Refused` with a reason when it cannot be done."""

    def status(self) -> Status: ...

    async def processes(self, *, machines: bool = True) -> list[ProcessRecord]:
        """Those of this machine and, with `machines`, of all that belong to this proxy."""
        ...

    async def scale(
        self, workers: int, *, relative: bool, wait: bool, progress: Progress, machine: str | None = None
    ) -> dict[str, Any]:
        """Set the number of workers (or change it by `workers`), of this machine or of one of the fleet;
        returns the `workers` counts."""
        ...

    async def reload(self, project: str | None, *, wait: bool, progress: Progress) -> list[ReloadRecord]: ...

    async def queue(self) -> list[QueueRecord]:
        """The requests that have not ended, by project."""
        ...

    def plugins(self) -> list[PluginRecord]: ...

    async def set_option(self, name: str, value: str) -> dict[str, Any]:
        """Give an option that can change live another value, until the next reload or restart."""
        ...

    async def projects(self) -> list[ProjectRecord]: ...

    async def load_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]: ...

    async def evict_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]: ...

    async def pin_project(
        self, project: str, *, pin: bool, wait: bool, progress: Progress
    ) -> dict[str, Any]: ...

    async def hold_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """All workers close it and its files; requests for it wait until `release_project`."""
        ...

    async def release_project(self, project: str, *, wait: bool, progress: Progress) -> dict[str, Any]: ...

    async def purge(self, project: str | None, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """Answer no more from what is kept of a project, or of all."""
        ...

    async def restart(
        self, *, wait: bool, progress: Progress, machine: str | None = None, here: bool = False
    ) -> dict[str, Any]:
        """Replace template, workers, http children and dispatcher one by one, none of them in use.

        Of this machine, then (unless `here`) of those of the fleet, or of one of these only.
        """
        ...

    async def drain(self, machine: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        """Have a machine of the fleet finish its requests and go."""
        ...

    async def stop(self, *, now: bool) -> dict[str, Any]:
        """Accept the stop; the caller sees its end when the master's pid is gone."""
        ...

    async def kill(self, target: int | str, *, wait: bool) -> dict[str, Any]:
        """SIGKILL the worker in slot `target`, or the child with that pid; waits for its replacement.

        As "MACHINE/SLOT" or "MACHINE/PID" one of the fleet.
        """
        ...

    def config(self) -> list[dict[str, Any]]:
        """Each effective option: `section`, `key`, `value`, `source`, `live`; secrets left out."""
        ...

    async def log_level(self, level: str) -> dict[str, Any]: ...

    def quarantine(self) -> list[QuarantineRecord]: ...

    def clear_quarantine(self) -> None: ...

    def recent_events(self) -> list[EventRecord]: ...

    def follow_events(self) -> asyncio.Queue[EventRecord]:
        """A queue that receives every event from now on, until `unfollow_events`."""
        ...

    def unfollow_events(self, queue: asyncio.Queue[EventRecord]) -> None: ...
