# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines of the fleet as a dispatcher knows them: by the connections of their masters. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from qgsd.messages import PROTOCOL, MachineGone, MachineHere

# Seconds between the end of a connection and the question whether its peer can still be reached. The word of
# a machine's master why a worker died comes meanwhile, and tells more than that it is gone.
GRACE = 0.3


def refusal(protocol: int, version: str, ours: str) -> str:
    """Why a peer that speaks this protocol cannot join; empty if it can. Versions are told, not compared.

    >>> refusal(PROTOCOL, "0.1", "0.2")
    ''
    """
    if protocol == PROTOCOL:
        return ""
    return (
        f"it speaks protocol {protocol} (qgsd {version}), the proxy {PROTOCOL} (qgsd {ours}): run versions "
        "of qgsd on both machines that go together"
    )


@dataclass
class Machine:
    """A machine and its connections, the latest last."""

    here: MachineHere
    peers: list[bytes] = field(default_factory=list)


class Machines:
    """Who is there. A machine may have several connections for a moment, when it takes up another."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._id_of: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._machines)

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._id_of

    def peers(self) -> list[bytes]:
        return list(self._id_of)

    def peer_of(self, id: str) -> bytes | None:
        """Over which connection to talk to a machine; None if it is not here."""
        machine = self._machines.get(id)
        return machine.peers[-1] if machine else None

    def here(self, peer: bytes, here: MachineHere) -> bool:
        """A machine says what it is. Whether that is its first word over this connection."""
        if self._id_of.get(peer, here.id) != here.id:
            # A machine without a connection must not be left, whatever a peer says of itself.
            self.unreachable(peer)
        first = peer not in self._id_of
        machine = self._machines.setdefault(here.id, Machine(here))
        machine.here = here
        if first:
            self._id_of[peer] = here.id
            machine.peers.append(peer)
        return first

    def left(self, peer: bytes) -> MachineGone | None:
        """It says goodbye, for all its connections."""
        id = self._id_of.get(peer)
        if id is None:
            return None
        for known in self._machines.pop(id).peers:
            del self._id_of[known]
        return MachineGone(id, left=True)

    def unreachable(self, peer: bytes) -> MachineGone | None:
        """A connection has gone without a word; with the last one the machine has."""
        id = self._id_of.pop(peer, None)
        if id is None:
            return None
        self._machines[id].peers.remove(peer)
        if self._machines[id].peers:
            return None
        del self._machines[id]
        return MachineGone(id, left=False)


class Pulse:
    """When to ask who can still be reached: once `GRACE` after each connection that ended.

    >>> pulse = Pulse()
    >>> pulse.broken(1.0); pulse.broken(1.2)
    >>> [pulse.due(at) for at in (1.25, 1.35, 1.45, 1.55, 1.65, 9.0)]
    [False, True, False, True, False, False]
    """

    def __init__(self) -> None:
        self._due = self._last = float("inf")

    @property
    def next_alarm(self) -> float:
        """When it is due; infinite if nothing has happened."""
        return self._due

    def broken(self, now: float) -> None:
        self._last = now
        # A stream of strangers that come and go must not put it off for ever.
        self._due = min(self._due, now + GRACE)

    def due(self, now: float) -> bool:
        if now < self._due:
            return False
        later = self._last + GRACE
        self._due = later if later > now else float("inf")
        return True
