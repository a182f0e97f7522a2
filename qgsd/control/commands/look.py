# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that only look: status, ps, events, config, plugins, ping, version."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

import msgspec

from qgsd import __version__
from qgsd.control.commands.base import Arguments, Command
from qgsd.control.operations import Operations, Progress
from qgsd.control.records import EventRecord, PluginRecord, ProcessRecord, Status

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qgsd.control.client import Client

ALIVE = "follow.alive"
"""The event that says: still following, no news."""

ALIVE_EVERY = 10.0
"""Seconds without news after which a follower is told so, and one that has gone is noticed."""


class StatusCommand(Command[Arguments]):
    """The instance in one look: its state, addresses, workers, queue and counters.

    The state is `starting` until the first worker is ready, then `running`, and
    `draining` from the moment a stop was accepted.
    """

    name = "status"
    looks = True
    help = "show the instance in one look"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> Status:
        return operations.status()

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.status(msgspec.convert(result, Status))


class PsArguments(Arguments, frozen=True):
    """`machines`: a proxy lists the processes of its worker machines, too."""

    machines: bool = True


class Ps(Command[PsArguments]):
    """The processes of the instance, one a row.

    UPTIME is the age of the process; RSS counts shared pages in full, PSS shares them
    between those who map them, so only PSS may be summed up; CPU is in percent of one
    core. A slot in `backoff` has no process: its worker crashed too often and rests.
    With --tree each stands below the one that made it: workers below the template they were forked from.
    A proxy lists its worker machines, too; one that does not answer within two seconds is left out.
    """

    name = "ps"
    looks = True
    help = "list the processes: role, slot, state, memory, project"
    arguments = PsArguments

    async def run(self, operations: Operations, args: PsArguments, progress: Progress) -> list[ProcessRecord]:
        return await operations.processes(machines=args.machines)

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.processes(msgspec.convert(result, list[ProcessRecord]))

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tree", action="store_true", help="each below the one that made it")

    def show(self, result: Any, options: Namespace) -> RenderableType:
        if not options.tree:
            return self.render(result)
        from qgsd.control import family

        return family.tree(msgspec.convert(result, list[ProcessRecord]), unicode=_speaks_unicode())


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


class EventsArguments(Arguments, frozen=True):
    """`follow`: send every event from now on, instead of those remembered."""

    follow: bool = False


class Events(Command[EventsArguments]):
    """What happened lately: crashes, kills, drains, retries, reloads, each with its reason.

    With --follow: what happens from now on, line by line, until interrupted. With --json
    each event is one line.
    """

    name = "events"
    looks = True
    help = "show what happened lately, or follow what happens"
    arguments = EventsArguments

    async def run(
        self, operations: Operations, args: EventsArguments, progress: Progress
    ) -> list[EventRecord]:
        if not args.follow:
            return operations.recent_events()
        queue = operations.follow_events()
        try:
            await _pass_on(queue, progress)
        finally:
            operations.unfollow_events(queue)
        return []

    def streams(self, args: EventsArguments) -> bool:
        return args.follow

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("-f", "--follow", action="store_true", help="go on with every new event")

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.events(msgspec.convert(result, list[EventRecord]))


async def _pass_on(queue: asyncio.Queue[EventRecord], progress: Progress) -> None:
    """Every event of the queue as progress, and a sign of life first and between; ends by exception only."""
    progress(_alive())
    news = asyncio.ensure_future(queue.get())
    try:
        while True:
            # Not wait_for: the getter must live on, a cancelled one could take an event with it.
            await asyncio.wait({news}, timeout=ALIVE_EVERY)
            if not news.done():
                progress(_alive())
                continue
            progress(msgspec.to_builtins(news.result()))
            news = asyncio.ensure_future(queue.get())
    finally:
        news.cancel()


def _alive() -> dict[str, Any]:
    return {"time": time.time(), "event": ALIVE, "reason": "following, no news"}


class Config(Command[Arguments]):
    """Every effective option of the running instance, and where its value came from.

    LIVE says whether a reload changes it; the others need a restart of the instance.
    """

    name = "config"
    looks = True
    help = "list the effective options and where each came from"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> list[dict[str, Any]]:
        return operations.config()

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.options(msgspec.convert(result, list[dict[str, Any]]))


class Plugins(Command[Arguments]):
    """The QGIS Server plugins that were found, with their versions; why those that are broken do not load.

    The others work. After a change `restart` loads them anew.
    """

    name = "plugins"
    looks = True
    help = "list QGIS Server plugins: version, and why one does not load"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> list[PluginRecord]:
        return operations.plugins()

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.plugins(msgspec.convert(result, list[PluginRecord]))


class Ping(Command[Arguments]):
    """Ask the master for a sign of life; says `pong` and how many milliseconds it took."""

    name = "ping"
    looks = True
    help = "ask for a sign of life"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> dict[str, Any]:
        return {"pong": True, "pid": os.getpid()}

    # -------------------------------------------------------------- in qgsdctl

    def perform(self, client: Client, options: Namespace, on_progress: Progress) -> Any:
        client.connect()
        begin = time.perf_counter()
        result = client.call(self.name)
        return {**result, "ms": round((time.perf_counter() - begin) * 1000, 3)}

    def render(self, result: Any) -> RenderableType:
        return f"pong ({result['ms']:.1f} ms)"


class Version(Command[Arguments]):
    """The versions of qgsdctl, of the running master and of the QGIS it serves with."""

    name = "version"
    looks = True
    help = "show the versions of qgsdctl, the master and QGIS"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> dict[str, Any]:
        status = operations.status()
        return {"version": status.version, "qgis_version": status.qgis_version}

    # -------------------------------------------------------------- in qgsdctl

    def perform(self, client: Client, options: Namespace, on_progress: Progress) -> Any:
        return {"qgsdctl": __version__, **client.call(self.name)}

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.versions(msgspec.convert(result, dict[str, str]))
