# SPDX-License-Identifier: GPL-2.0-or-later
"""The gate: the one way by which QGIS asks other servers, as a proxy for HTTP on loopback.

A process of its own, because QGIS asks from threads of C++ while the interpreter's lock is held: a hook
in Python would wait for ever. The master starts it when a worker first knocks, so that an instance
without remote layers has none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time

import psutil

from qgsd import descriptors, messages
from qgsd.child import Child
from qgsd.gate.forward import Passage
from qgsd.gate.rules import Own, Rules, names_of
from qgsd.scoreboard import State

logger = logging.getLogger("qgsd.gate")

_BEAT = 0.5
_QUIET_SECONDS = 60.0
_REMEMBERED = 1000
_ADDRESSES_SECONDS = 30.0
_LIMIT = 65536


class GateChild:
    """The process: from `Begin` to its last connection."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.passages: set[Passage] = set()
        self.over = asyncio.Event()
        self.leaving = False
        self._told: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._rules = Rules(())

    async def run(self) -> None:
        (listener,) = self.child.listeners
        listener.setblocking(False)
        self.server = await asyncio.start_server(self._serve, sock=listener, limit=_LIMIT)
        self.child.obey(self._obey, self.over.set)
        self.child.ready()
        beating = asyncio.create_task(self._beat())
        await self.over.wait()
        beating.cancel()

    def rules(self) -> Rules:
        """Those of the moment: a machine's addresses change."""
        if time.monotonic() - self._looked_at > _ADDRESSES_SECONDS:
            self._looked_at = time.monotonic()
            settings = self.child.settings
            own = Own(_addresses(), frozenset(self.child.begin.ports), names_of(settings))
            self._rules = Rules(settings.network.hosts, own)
        return self._rules

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage(self.rules(), self._refused, (reader, writer))
        self.passages.add(passage)
        try:
            await passage.run()
        finally:
            self.passages.discard(passage)
            self.child.row.requests += 1
            writer.close()

    def _refused(self, host: str, addresses: list[str]) -> None:
        """Told once a minute of each host."""
        now = time.monotonic()
        if now - self._told.get(host, float("-inf")) < _QUIET_SECONDS:
            return
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[host] = now
        meant = "" if addresses == [host] else f" ({', '.join(addresses)})"
        reason = f"QGIS was not let ask {host}{meant}: it is not among hosts in [network]"
        self.child.happened("network.refused", reason, host=host)

    async def _beat(self) -> None:
        while True:
            if not self.leaving:
                self.child.row.state = State.BUSY if self.passages else State.IDLE
            self.child.beat()
            await asyncio.sleep(_BEAT)

    def _obey(self, order: messages.Order) -> None:
        match order:
            case messages.Configure():
                self.child.configure(order)
                self._looked_at = float("-inf")
            case messages.Drain() if not self.leaving:
                self.leaving = True
                self.child.row.state = State.DRAINING
                self._going = asyncio.create_task(self._leave())
            case _:
                pass

    async def _leave(self) -> None:
        """Take no new connection; those that nobody can wait for any more are closed."""
        self.server.close()
        settings = self.child.settings
        patience = min(settings.server.timeout, settings.supervision.stop_timeout / 2)
        while self.passages:
            for passage in list(self.passages):
                if time.monotonic() - passage.active_at > patience:
                    passage.close()
            await asyncio.sleep(0.05)
        self.over.set()


def _addresses() -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    found = set()
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            try:
                found.add(ipaddress.ip_address(one.address.partition("%")[0]))
            except ValueError:
                # The address of a network card.
                continue
    return frozenset(found)


def main() -> None:
    """Run as a child of the master: `python -m qgsd.gate.server`."""
    child = Child.start()
    descriptors.raise_limit()

    async def run() -> None:
        await GateChild(child).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
