# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages about worker machines: what their masters and a proxy say to each other, and the proxy within.

Those between a machine and a dispatcher travel over the workers' socket; those between the dispatcher and
the proxy's master over the channel.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

MachineState = Literal["starting", "running", "draining"]


# --- a machine's master -> dispatcher -----------------------------------------


class MachineHere(Struct, frozen=True, array_like=True, tag="machine"):
    """A worker machine is here; said on connecting, and whenever what it says has changed.

    `id` is this run of its master, `name` what people call it. `target` to `starting` count its workers,
    those for other proxies included.
    """

    protocol: int
    id: str
    name: str
    pid: int
    version: str
    qgis_version: str
    state: MachineState
    target: int
    ready: int
    busy: int
    starting: int


class MachineLeft(Struct, frozen=True, array_like=True, tag="machine-left"):
    """The machine's workers have finished and gone; so does its master."""


class MachineDone(Struct, frozen=True, array_like=True, tag="machine-done"):
    """What became of a `MachineOrder`: `reply` is the answer of the control socket, as JSON."""

    ticket: str
    reply: bytes


class WorkerLost(Struct, frozen=True, array_like=True, tag="lost"):
    """The worker process has ended without leaving; `reason` in words.

    `worker` is the name it joined by, less the serial number of its connection. `own_fault`: what
    it did ended it (a segmentation fault), not somebody else (a kill).
    """

    worker: str
    reason: str
    own_fault: bool = True


# --- dispatcher -> a machine's master -----------------------------------------


class MachineWelcome(Struct, frozen=True, array_like=True, tag="machine-welcome"):
    """The answer to the first `MachineHere` of a connection: the machine belongs to the fleet."""

    version: str


class MachineOrder(Struct, frozen=True, array_like=True, tag="machine-order"):
    """Do this control command with these arguments (a JSON object); the answer is `MachineDone`.

    Under a `ticket` that it knows already it does nothing again: the dispatcher that asked may have died.
    """

    ticket: str
    command: str
    args: bytes


# --- dispatcher -> the proxy's master (reports) --------------------------------


class MachineSeen(Struct, frozen=True, tag="machine-seen"):
    """From the dispatcher: a machine has joined, or says something else of itself than before."""

    machine: MachineHere


class MachineGone(Struct, frozen=True, tag="machine-gone"):
    """From the dispatcher: a machine has no connection any more; `left` if it said goodbye."""

    id: str
    left: bool


class MachineRefused(Struct, frozen=True, tag="machine-refused"):
    """From the dispatcher: a machine, or a worker of one, was turned away; `reason` in words."""

    name: str
    reason: str


class MachineAnswered(Struct, frozen=True, tag="machine-answered"):
    """From the dispatcher: the answer of a machine to an order."""

    ticket: str
    reply: bytes


# --- the proxy's master -> dispatcher (orders) ---------------------------------


class OrderMachine(Struct, frozen=True, tag="order-machine"):
    """To the dispatcher: pass this on to the machine of that id."""

    machine: str
    order: MachineOrder


# --- a machine's master -> its worker (order) ----------------------------------


class Reconnect(Struct, frozen=True, tag="reconnect"):
    """To a worker: serve the dispatcher at these addresses from now on, not the one of before."""

    back: list[str]
