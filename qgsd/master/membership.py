# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker machine as a member of the fleet: it says who it is, and does what the proxies want of it.

Everything happens in turns of the master; `follow_names` beside them asks which proxies there are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import time
from collections import OrderedDict
from typing import Any

import msgspec

from qgsd import __version__, messages
from qgsd.control import protocol
from qgsd.control.commands import COMMANDS, unknown_command
from qgsd.control.operations import Refused
from qgsd.control.protocol import ErrorCode
from qgsd.master.fleet_operations import FleetOperations
from qgsd.master.instance import Instance
from qgsd.master.machine_link import MachineLink, ProxyLink
from qgsd.master.resolver import resolve

logger = logging.getLogger("qgsd.master")

# What the holder of the cluster key may have this machine do.
_ALLOWED = ("ps", "scale", "restart", "reload", "kill", "stop")
_TELL_EVERY = 0.5
_RESOLVE_EVERY = 3.0
_RESOLVE_TIMEOUT = 5.0
_REMEMBERED_ORDERS = 100
_GOODBYE_MS = 1000


class Membership:
    """Of this machine, by its `link` to the proxies."""

    def __init__(self, operations: FleetOperations, link: MachineLink) -> None:
        self._operations = operations
        self._link = link
        self._instance = operations.supervisor.instance
        self._id = secrets.token_hex(8)
        self._told: messages.MachineHere | None = None
        self._told_at = 0.0
        self._refused: dict[str, str] = {}
        # By ticket: the answer, None while it is under way.
        self._orders: OrderedDict[str, bytes | None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    # What it says.

    def here(self) -> messages.MachineHere:
        counts, supervisor = self._operations.worker_counts(), self._operations.supervisor
        return messages.MachineHere(
            messages.PROTOCOL, self._id, self._instance.machine, os.getpid(), __version__,
            supervisor.qgis_version, self._operations.state(),
            counts.target, counts.ready, counts.busy, counts.starting,
        )  # fmt: skip

    def turn(self) -> None:
        """In every turn of the master."""
        here, now = self.here(), time.monotonic()
        for proxy in list(self._link.proxies.values()):
            for message in proxy.attend(here):
                self._heard(proxy, message)
            if not proxy.established:
                self._instance.proxies.is_silent(proxy.address, now)
        if here != self._told and (here.state == "draining" or now - self._told_at > _TELL_EVERY):
            self._told, self._told_at = here, now
            self._link.say(here)
        self._deal_out(now)

    def leave(self) -> None:
        """All workers have gone."""
        self._link.say(messages.MachineLeft())
        self._link.close(linger=_GOODBYE_MS)

    # Which proxies there are, and who works for which.

    async def follow_names(self) -> None:
        """As long as the instance runs: the addresses of the proxies may change at any time."""
        while self._operations.supervisor.stopping == "no":
            await asyncio.sleep(_RESOLVE_EVERY)
            if await look_up(self._instance):
                addresses = self._instance.proxies.addresses
                self._link.follow(addresses)
                told = f"{self._instance.settings.worker.host} stands for {', '.join(addresses)} now"
                self._operations.supervisor.events.add("proxies.changed", told, {"proxies": len(addresses)})

    def _deal_out(self, now: float) -> None:
        """Each worker to the proxy it belongs to."""
        supervisor = self._operations.supervisor
        for record in supervisor.children.of("worker"):
            back = [self._instance.proxies.of_slot(record.slot, now)]
            if record.phase != "draining" and record.back != back:
                record.back = back
                supervisor.tell(record, messages.Reconnect(back))

    # What it hears.

    def _heard(self, proxy: ProxyLink, message: messages.ToMachine) -> None:
        events = self._operations.supervisor.events
        match message:
            case messages.MachineWelcome(version):
                self._refused.pop(proxy.address, None)
                self._instance.proxies.answers(proxy.address)
                told = f"the proxy at {proxy.address} (qgsd {version}) has taken this machine in"
                events.add("proxy.joined", told, {"proxy": proxy.address})
            case messages.Dismiss(reason):
                if self._refused.get(proxy.address) != reason:
                    self._refused[proxy.address] = reason
                    told = f"the proxy at {proxy.address} refused this machine: {reason}"
                    events.add("proxy.failed", told, {"proxy": proxy.address})
            case messages.MachineOrder():
                self._order(proxy, message)
            case _:
                pass

    def _order(self, proxy: ProxyLink, order: messages.MachineOrder) -> None:
        if order.ticket in self._orders:
            if reply := self._orders[order.ticket]:
                proxy.say(messages.MachineDone(order.ticket, reply))
            return
        self._orders[order.ticket] = None
        while len(self._orders) > _REMEMBERED_ORDERS:
            self._orders.popitem(last=False)
        task = asyncio.create_task(self._carry_out(proxy.address, order), name=f"order {order.command}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, address: str, order: messages.MachineOrder) -> None:
        try:
            reply = protocol.success(order.ticket, await self._run(order))
        except Refused as refused:
            reply = protocol.failure(order.ticket, refused.code, refused.message)
        except Exception as error:
            logger.exception("the order %s of the proxy failed", order.command)
            reply = protocol.failure(order.ticket, ErrorCode.FAILED, f"{order.command} failed: {error}")
        encoded = protocol.encode(reply)
        self._orders[order.ticket] = encoded
        if proxy := self._link.proxies.get(address):
            # Whoever has ordered it may look at once whether it is so.
            proxy.say(self.here())
            proxy.say(messages.MachineDone(order.ticket, encoded))

    async def _run(self, order: messages.MachineOrder) -> Any:
        command = COMMANDS.get(order.command)
        if command is None or command.name not in _ALLOWED:
            raise Refused(ErrorCode.UNKNOWN_COMMAND, unknown_command(order.command))
        try:
            args = command.decode(msgspec.json.decode(order.args, type=dict[str, Any]))
        except msgspec.MsgspecError as nonsense:
            raise Refused(ErrorCode.BAD_ARGUMENTS, f"{order.command}: {nonsense}") from None
        logger.info("the proxy orders: %s %s", order.command, order.args.decode(errors="replace"))
        return await command.run(self._operations, args, _tell_nobody)


async def look_up(instance: Instance) -> bool:
    """Ask what the name of the proxy says now. Whether that is something else than before.

    When it says nothing all stays as it is: then ZeroMQ goes on asking for the name.
    """
    settings = instance.settings.worker
    if instance.role != "worker" or _is_address(settings.host):
        return False
    found = await resolve(settings.host, settings.port, _RESOLVE_TIMEOUT)
    new, gone = instance.proxies.resolved(found, time.monotonic())
    return bool(new or gone)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tell_nobody(progress: dict[str, Any]) -> None:
    """The proxy waits for the result."""
