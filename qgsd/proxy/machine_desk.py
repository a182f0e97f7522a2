# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's part in the fleet: who of other machines is there, and what the master wants of them.

A machine that dies, or is cut off, says nothing. ZeroMQ's heartbeats end its connections; then all that are
of other machines are sent a word that does nothing, for a ROUTER fails to send to a peer that has gone.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import zmq

from qgsd import __version__, frames, messages
from qgsd.channel import ChildEnd
from qgsd.proxy.complaints import Complaints
from qgsd.proxy.machines import Machines, Pulse, refusal
from qgsd.proxy.roster import machine_of
from qgsd.proxy.scheduler import Scheduler

logger = logging.getLogger("qgsd.dispatcher")

_REMEMBERED_LOSSES = 1000

FromMachine = messages.MachineHere | messages.MachineLeft | messages.MachineDone
Lost = Callable[[bytes, str], None]


class Losses:
    """Worker processes that have died lately: the greeting of one may arrive after the news of its death."""

    def __init__(self) -> None:
        self._processes: OrderedDict[bytes, None] = OrderedDict()

    def add(self, process: bytes) -> None:
        self._processes[process] = None
        while len(self._processes) > _REMEMBERED_LOSSES:
            self._processes.popitem(last=False)

    def __contains__(self, worker: bytes) -> bool:
        return process_of(worker) in self._processes


def process_of(worker: bytes) -> bytes:
    """The name of a worker's process: its identity less the serial number of its connection."""
    return worker.rpartition(b":")[0]


class MachineDesk:
    """`lost(worker, reason)` is told of workers that cannot be reached any more."""

    def __init__(self, scheduler: Scheduler, channel: ChildEnd, back: zmq.Socket[bytes], lost: Lost) -> None:
        self._scheduler = scheduler
        self._channel = channel
        self._back = back
        self._lost = lost
        self._machines = Machines()
        self._pulse = Pulse()
        self._complaints = Complaints()
        self._closing = False

    # Machines.

    def heard(self, peer: bytes, message: FromMachine) -> None:
        match message:
            case messages.MachineHere():
                self._here(peer, message)
            case messages.MachineLeft():
                self._report(self._machines.left(peer))
            case messages.MachineDone(ticket, reply):
                self._channel.send(messages.MachineAnswered(ticket, reply))

    def _here(self, peer: bytes, here: messages.MachineHere) -> None:
        if reason := self.refusal(here.name, here.protocol, here.version):
            self._reaches(peer, messages.Dismiss(reason))
        elif self._closing:
            self._reaches(peer, messages.Moving())
        else:
            if self._machines.here(peer, here):
                self._reaches(peer, messages.MachineWelcome(__version__))
            self._channel.send(messages.MachineSeen(here))

    def refusal(self, name: str, protocol: int, version: str) -> str:
        """Why a peer of this machine cannot join, told to people as well; empty if it can."""
        reason = refusal(protocol, version, __version__)
        if reason and self._complaints.due(name, time.monotonic()):
            self._channel.send(messages.MachineRefused(name, reason))
        return reason

    def _report(self, gone: messages.MachineGone | None) -> None:
        # Machines leave a dispatcher that goes for its successor, which says that they are there.
        if gone is not None and not self._closing:
            self._channel.send(gone)

    def order(self, order: messages.OrderMachine) -> None:
        peer = self._machines.peer_of(order.machine)
        if peer is not None:
            self._reaches(peer, order.order)

    def close(self) -> None:
        """The dispatcher leaves."""
        self._closing = True
        for peer in self._machines.peers():
            self._reaches(peer, messages.Moving())

    # Who is there.

    def next_alarm(self) -> float:
        """When `look` has something to do at the latest."""
        return self._pulse.next_alarm

    def look(self, *, departed: bool) -> None:
        """To be called in every turn: `departed` if a connection has ended since the last one."""
        now = time.monotonic()
        if departed:
            self._pulse.broken(now)
        if self._pulse.due(now):
            self._ask_around()

    def _ask_around(self) -> None:
        for peer in self._machines.peers():
            if not self._reaches(peer, messages.Welcome()):
                self._report(self._machines.unreachable(peer))
        for worker in self._scheduler.worker_names():
            machine = machine_of(worker)
            if machine and not self._reaches(worker, messages.Welcome()):
                name = machine.decode(errors="replace")
                self._lost(worker, f"the connection to its machine {name} has broken")

    def _reaches(self, peer: bytes, message: messages.ToWorker | messages.ToMachine) -> bool:
        try:
            frames.send(self._back, [peer, messages.encode(message)])
        except zmq.ZMQError as unreachable:
            logger.debug("%r cannot be reached: %s", peer, unreachable)
            return False
        return True
