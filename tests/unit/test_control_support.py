# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the control socket share: an instance in memory, served on a real socket.

`Instance` does what a master does, at once and without processes; `serving` runs the
real `ControlServer` for it in an event loop of its own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qgsd.control.operations import Progress, Refused
from qgsd.control.records import (
    Counters,
    EventRecord,
    PluginRecord,
    ProcessRecord,
    QuarantineRecord,
    QueueRecord,
    QueueStatus,
    ReloadRecord,
    Status,
    WorkerCounts,
)
from qgsd.control.server import ControlServer

PATIENCE = 10.0


class Instance:
    """A master in memory. While `gate` is closed, whoever waits for an effect waits."""

    def __init__(self) -> None:
        self.workers = 2
        self.level = "info"
        self.pid = os.getpid()
        self.child: subprocess.Popen[bytes] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.killed: list[int] = []
        self.poison = [QuarantineRecord("abc", "bad/project", "GET http://x/ows/", "SIGSEGV", 60.0)]
        self.broken = {"bad/project": "layer 'roads' has no source"}
        self.events = [EventRecord(1.5, "worker.ready", "worker 0 is ready", {"slot": 0})]
        self.followers: list[asyncio.Queue[EventRecord]] = []

    def _counts(self) -> dict[str, Any]:
        return {"target": self.workers, "ready": self.workers, "busy": 0, "starting": 0}

    async def _effect(self, wait: bool, progress: Progress, message: str) -> None:
        progress({"message": message, "done": 0, "total": 1})
        if wait:
            self.waiting += 1
            try:
                await self.gate.wait()
            finally:
                self.waiting -= 1
        progress({"message": message, "done": 1, "total": 1})

    def status(self) -> Status:
        return Status(
            state="running",
            version="1.2.3",
            qgis_version="3.22.16",
            pid=self.pid,
            uptime=3723.0,
            listen=["http://127.0.0.1:8080"],
            workers=WorkerCounts(**self._counts()),
            queue=QueueStatus(0, 1000),
            counters=Counters(requests=7),
            generation=1,
            instance="qgsd",
        )

    async def processes(self, *, machines: bool = True) -> list[ProcessRecord]:
        master = ProcessRecord("master", None, self.pid, "idle", 1.0, 0, 1 << 25, 1 << 24, 0.4, None, 1)
        rest = ProcessRecord("worker", 1, None, "backoff", 0.0, 3, 0, 0, 0.0, "evil\x1b[2J", 1)
        busy = ProcessRecord("worker", 0, 4711, "busy", 1.0, 3, 0, 0, 0.0, "town", 1, request_age=2.5)
        return [master, rest, busy]

    async def scale(
        self, workers: int, *, relative: bool, wait: bool, progress: Progress, machine: str | None = None
    ) -> dict[str, Any]:
        self._check(machine)
        target = self.workers + workers if relative else workers
        if target > 100:
            raise Refused("too_many", f"{target} workers are more than the memory holds")
        self.workers = max(0, target)
        await self._effect(wait, progress, "scaling")
        return self._counts()

    async def reload(self, project: str | None, *, wait: bool, progress: Progress) -> list[ReloadRecord]:
        await self._effect(wait, progress, "reloading")
        error = self.broken.get(project or "")
        return [ReloadRecord(project or "all", "kept-old" if error else "flipped", error)]

    def _check(self, machine: str | None) -> None:
        if machine not in (None, "far"):
            raise Refused("no_such_machine", f"there is no machine '{machine}': far")

    async def drain(self, machine: str, *, wait: bool, progress: Progress) -> dict[str, Any]:
        self._check(machine)
        await self._effect(wait, progress, "draining")
        return {"machine": machine, "state": "gone"}

    async def restart(
        self, *, wait: bool, progress: Progress, machine: str | None = None, here: bool = False
    ) -> dict[str, Any]:
        self._check(machine)
        await self._effect(wait, progress, "restarting")
        return {"restarted": self.workers}

    async def stop(self, *, now: bool) -> dict[str, Any]:
        if self.child is not None:
            self.child.kill()
        return {"now": now}

    async def kill(self, target: int | str, *, wait: bool) -> dict[str, Any]:
        if isinstance(target, str):
            machine, _, slot = target.partition("/")
            self._check(machine)
            return {"slot": int(slot), "pid": 4712, "machine": machine}
        if target == 13:
            raise ZeroDivisionError("slot 13")
        if target >= self.workers and target != 4711:
            raise Refused("no_such_child", f"there is no worker in slot {target}")
        self.killed.append(target)
        return {"slot": target, "pid": 4711}

    def config(self) -> list[dict[str, Any]]:
        return [{"section": "server", "key": "port", "value": 8080, "source": "default", "live": False}]

    async def log_level(self, level: str) -> dict[str, Any]:
        self.level = level
        return {"level": level}

    async def queue(self) -> list[QueueRecord]:
        return [QueueRecord("town/sewers", 3, 1, 1.25)]

    def plugins(self) -> list[PluginRecord]:
        return [PluginRecord("tiles", "1.2", "loaded"), PluginRecord("bad\x1b[2J", "", "broken", "no module")]

    async def set_option(self, name: str, value: str) -> dict[str, Any]:
        if name != "server.timeout":
            raise Refused("not_live", f"{name} changes only when qgsd is stopped and started")
        return {"option": name, "value": value}

    def quarantine(self) -> list[QuarantineRecord]:
        return self.poison

    def clear_quarantine(self) -> None:
        self.poison = []

    def recent_events(self) -> list[EventRecord]:
        return self.events

    def follow_events(self) -> asyncio.Queue[EventRecord]:
        self.followers.append(asyncio.Queue())
        return self.followers[-1]

    def unfollow_events(self, queue: asyncio.Queue[EventRecord]) -> None:
        self.followers.remove(queue)

    def happen(self, event: str, reason: str) -> None:
        for queue in self.followers:
            queue.put_nowait(EventRecord(time.time(), event, reason))


@dataclass
class Served:
    """A server that runs in another thread, and how to reach into its loop."""

    instance: Instance
    loop: asyncio.AbstractEventLoop
    server: ControlServer
    stop: asyncio.Event
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.server.address

    def do(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in the server's loop."""
        self.loop.call_soon_threadsafe(function, *args)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


@contextlib.contextmanager
def serving(address: str | Path, **options: Any) -> Iterator[Served]:
    """A `ControlServer` on an address (or the path of a socket file), for an `Instance` in memory."""
    if isinstance(address, Path):
        address = f"ipc://{address}"
    started = threading.Event()
    box: list[Served | BaseException] = []

    async def live() -> None:
        instance = Instance()
        try:
            server = ControlServer(address, instance, **options)
            await server.start()
        except BaseException as error:
            box.append(error)
            started.set()
            return
        served = Served(instance, asyncio.get_running_loop(), server, asyncio.Event())
        box.append(served)
        started.set()
        await served.stop.wait()
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    assert started.wait(PATIENCE)
    served = box[0]
    if isinstance(served, BaseException):
        raise served
    try:
        yield served
    finally:
        with contextlib.suppress(RuntimeError):  # the test may have stopped it
            served.do(served.stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait until something is so; fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)
