# SPDX-License-Identifier: GPL-2.0-or-later
"""The proxy's master and its fleet: what dispatchers tell of machines, and orders to these under way."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from qgsd import messages
from qgsd.channel import ChannelClosed
from qgsd.control import protocol
from qgsd.control.operations import Refused
from qgsd.master.children import ChildRecord, Children
from qgsd.master.events import EventLog
from qgsd.master.fleet import Fleet, Machine, News

_SEND_AGAIN = 1.0

logger = logging.getLogger("qgsd.master")

Heard = messages.MachineSeen | messages.MachineGone | messages.MachineRefused | messages.MachineAnswered


@dataclass
class FleetOrder:
    """An order to a machine; `reply` when it has answered."""

    machine: str
    name: str
    message: messages.MachineOrder
    sent_at: float = float("-inf")
    reply: protocol.Reply | None = None

    def result(self) -> Any:
        """What the machine has answered. Raises `Refused` with its reason."""
        assert self.reply is not None
        if self.reply.error:
            raise Refused(self.reply.error.code, f"{self.name}: {self.reply.error.message}")
        return self.reply.result


class FleetOrders:
    """Which machines there are, and what they are doing for us."""

    def __init__(self, children: Children, events: EventLog) -> None:
        self.fleet = Fleet()
        self._children = children
        self._events = events
        self._open: dict[str, FleetOrder] = {}

    # What dispatchers tell.

    def heard(self, dispatcher: int, report: Heard) -> None:
        match report:
            case messages.MachineSeen(here):
                self._tell(self.fleet.seen(dispatcher, here, time.monotonic()))
            case messages.MachineGone(id, left):
                self._tell(self.fleet.gone(dispatcher, id, time.monotonic(), left=left))
            case messages.MachineRefused(name, reason):
                self._events.add("machine.failed", f"{name} was refused: {reason}", {"machine": name})
            case messages.MachineAnswered(ticket, reply):
                if order := self._open.get(ticket):
                    order.reply = _reply(reply)

    def dispatcher_gone(self, dispatcher: int) -> None:
        self.fleet.dispatcher_gone(dispatcher, time.monotonic())

    def turn(self) -> None:
        """In every turn of the master."""
        self._tell(self.fleet.tick(time.monotonic()))

    def _tell(self, news: Iterable[News]) -> None:
        for one in news:
            self._events.add(one.event, one.reason, {"machine": one.name})

    # Orders. `advance` is called until it is complete: a dispatcher may die in between.

    def begin(self, machine: Machine, command: str, args: dict[str, Any]) -> FleetOrder:
        ticket = secrets.token_hex(8)
        message = messages.MachineOrder(ticket, command, msgspec.json.encode(args))
        order = FleetOrder(machine.here.id, machine.here.name, message)
        self._open[ticket] = order
        return order

    def end(self, order: FleetOrder) -> None:
        self._open.pop(order.message.ticket, None)

    def advance(self, order: FleetOrder) -> bool:
        """Send it, and again until it is answered: it may get lost with a connection. Whether it is.

        Raises `Refused` when the machine has gone.
        """
        if order.reply is not None:
            return True
        if order.machine not in self.fleet:
            raise Refused("machine_gone", f"{order.name} has gone before it answered")
        now = time.monotonic()
        through = self._dispatcher_of(order.machine)
        if through is not None and now - order.sent_at > _SEND_AGAIN:
            order.sent_at = now
            try:
                through.channel.send(messages.OrderMachine(order.machine, order.message))
            except ChannelClosed:
                logger.debug("%s has gone already", through.name)
        return False

    def _dispatcher_of(self, id: str) -> ChildRecord | None:
        """The dispatcher that a machine talks to; the youngest, if there are two."""
        known = [record for key in self.fleet.dispatchers_of(id) if (record := self._children.get(key))]
        return max(known, default=None, key=lambda record: record.started_at)


def _reply(encoded: bytes) -> protocol.Reply:
    try:
        return protocol.decode_reply(encoded)
    except (msgspec.MsgspecError, ValueError) as nonsense:
        return protocol.failure(None, "failed", f"its answer makes no sense: {nonsense}")
