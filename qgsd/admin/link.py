# SPDX-License-Identifier: GPL-2.0-or-later
"""The way from the admin child to the master: its control socket, as for every other client.

`qgsd.control.Client` belongs to one thread and waits, so calls run in threads that have one each. Those that
look have threads of their own, so that a long scale or restart does not hold up the dashboard.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qgsd.cluster_key import ClusterKey
from qgsd.control import Client, CommandFailed, ControlError, NoMaster

_LOOKING = 4
_CHANGING = 8
_MOST_WAITING = 64
_LOOK_SECONDS = 10.0
_CHANGE_SECONDS = 600.0
_RETRY_SECONDS = 1.0

Event = dict[str, Any]


class MasterLink:
    """Asks the master at `address`; raises what the client raises (`ControlError`)."""

    def __init__(self, address: str, key: ClusterKey | None = None) -> None:
        self._address = address
        self._key = key
        self._looking = ThreadPoolExecutor(_LOOKING, "look")
        self._changing = ThreadPoolExecutor(_CHANGING, "change")
        self._own = threading.local()
        self._under_way = 0

    async def look(self, command: str, **args: Any) -> Any:
        """The result of a command that changes nothing."""
        return await self._ask(self._looking, _LOOK_SECONDS, command, args)

    async def change(self, command: str, args: dict[str, Any]) -> Any:
        """Have something changed; returns when the effect is there, unless `args` has `wait` false."""
        return await self._ask(self._changing, _CHANGE_SECONDS, command, args)

    async def _ask(
        self, threads: ThreadPoolExecutor, seconds: float, command: str, args: dict[str, Any]
    ) -> Any:
        if self._under_way >= _MOST_WAITING:
            raise CommandFailed("busy", f"{self._under_way} commands wait already; try again later")
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(threads, self._call, seconds, command, args)
        finally:
            self._under_way -= 1

    def _call(self, seconds: float, command: str, args: dict[str, Any]) -> Any:
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = Client(self._address, seconds, key=self._key)
        try:
            return client.call(command, **args)
        except NoMaster:
            self._own.client = None
            client.close()
            raise

    # Events.

    def follow(self, heard: Callable[[Event], None]) -> None:
        """Call `heard` in this event loop with each event from now on, as long as the process lives."""
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            loop.call_soon_threadsafe(heard, event)

        threading.Thread(target=self._follow, args=(tell,), name="events", daemon=True).start()

    def _follow(self, tell: Callable[[Event], None]) -> None:
        pause = threading.Event()
        while True:
            try:
                with Client(self._address, key=self._key) as client:
                    for event in client.events(follow=True):
                        tell(event)
            except ControlError:
                # The master hangs or ends; in the latter case so do we.
                pause.wait(_RETRY_SECONDS)
            except RuntimeError:
                # The event loop is closed.
                return
