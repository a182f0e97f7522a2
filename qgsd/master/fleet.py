# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker machines of a proxy, whichever of its dispatchers they talk to. Pure.

A dispatcher is replaced, or dies, and machines go over to its successor: that is no news to anybody. Nor is
it when a machine takes up another connection. One that does not turn up again is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qgsd.messages import MachineHere

# Seconds that a machine has to turn up again: after the end of its connection, and of its dispatcher.
RECONNECTION = 0.7
SUCCESSION = 10.0


@dataclass
class Machine:
    """A machine, since when it is here, by which dispatchers (their keys as children).

    `lost_at`: when one that no dispatcher has counts as lost.
    """

    here: MachineHere
    since: float
    dispatchers: set[int] = field(default_factory=set)
    lost_at: float | None = None


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told: an event about a machine."""

    event: str
    reason: str
    name: str


class Unknown(Exception):
    """No machine of that name is here, or several are; the text is for people."""


class Fleet:
    """Who is here. `now` is seconds of any clock that does not go backwards."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}

    def __iter__(self) -> Iterator[Machine]:
        """By name."""
        return iter(sorted(self._machines.values(), key=lambda machine: (machine.here.name, machine.since)))

    def __len__(self) -> int:
        return len(self._machines)

    def __contains__(self, id: str) -> bool:
        return id in self._machines

    def dispatchers_of(self, id: str) -> set[int]:
        """Those that a machine talks to."""
        machine = self._machines.get(id)
        return machine.dispatchers if machine else set()

    def named(self, name: str) -> Machine:
        """The machine of that name. Raises `Unknown`."""
        found = [machine for machine in self if machine.here.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise Unknown(
                f"{len(found)} machines are called '{name}': give each a name of its own (name in [worker])"
            )
        names = ", ".join(machine.here.name for machine in self) or "none is here"
        raise Unknown(f"there is no machine '{name}': {names}")

    # What dispatchers tell.

    def seen(self, dispatcher: int, here: MachineHere, now: float) -> list[News]:
        """A machine has joined a dispatcher, or says something else of itself."""
        machine = self._machines.get(here.id)
        if machine is None:
            machine = self._machines[here.id] = Machine(here, now)
            news = [self._joined(here)]
        elif here.state == "draining" != machine.here.state:
            news = [News("machine.draining", f"{here.name} finishes its requests and goes", here.name)]
        else:
            news = []
        machine.here = here
        machine.dispatchers.add(dispatcher)
        machine.lost_at = None
        return news

    def _joined(self, here: MachineHere) -> News:
        workers = f"{here.target} worker" + "s" * (here.target != 1)
        told = f"{here.name} has joined: {workers}, qgsd {here.version}, pid {here.pid}"
        same = [machine for machine in self._machines.values() if machine.here.name == here.name]
        if len(same) > 1:
            told += "; another machine has the same name: give each one of its own (name in [worker])"
        return News("machine.joined", told, here.name)

    def gone(self, dispatcher: int, id: str, now: float, *, left: bool) -> list[News]:
        """A machine has no connection to this dispatcher any more; `left` if it said goodbye."""
        machine = self._machines.get(id)
        if machine is None:
            return []
        machine.dispatchers.discard(dispatcher)
        if not left:
            self._miss(machine, now + RECONNECTION)
            return []
        del self._machines[id]
        name = machine.here.name
        return [News("machine.left", f"{name} has finished and gone", name)]

    def dispatcher_gone(self, dispatcher: int, now: float) -> None:
        """It has ended; its machines look for another one."""
        for machine in self._machines.values():
            machine.dispatchers.discard(dispatcher)
            self._miss(machine, now + SUCCESSION)

    def _miss(self, machine: Machine, until: float) -> None:
        if not machine.dispatchers and machine.lost_at is None:
            machine.lost_at = until

    def tick(self, now: float) -> list[News]:
        """Who has been missing for too long."""
        lost = [
            (id, machine)
            for id, machine in self._machines.items()
            if machine.lost_at is not None and now >= machine.lost_at
        ]
        for id, _ in lost:
            del self._machines[id]
        return [_lost(machine) for _, machine in lost]


def _lost(machine: Machine) -> News:
    name = machine.here.name
    reason = f"{name} is dead or cut off: its requests are tried again elsewhere, if they only read"
    return News("machine.lost", reason, name)
