# SPDX-License-Identifier: GPL-2.0-or-later
"""What every child of the master does first, and how it talks to the master.

A child is told who it is by the `Begin` order on its channel, not by command line or
environment, so that nothing leaks into `ps` or into the processes that plugins start.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable

import msgspec
import setproctitle

from qgsd import linux, log, messages
from qgsd.channel import ChannelClosed, ChildEnd
from qgsd.cluster_key import ClusterKey
from qgsd.config import Settings
from qgsd.scoreboard import Scoreboard, State

_decode_settings = msgspec.msgpack.Decoder(Settings).decode


def title_of(role: str, slot: int) -> str:
    """The process title of a child, such as `qgsd: worker 3`."""
    return f"qgsd: {role} {slot}" if role in ("http", "worker") else f"qgsd: {role}"


class Child:
    """A process under the master: its identity, its row of the scoreboard, its channel."""

    def __init__(self, channel: ChildEnd, begin: messages.Begin, descriptors: list[int]) -> None:
        self.channel = channel
        self.begin = begin
        self.settings = _decode_settings(begin.settings)
        self.keys = [ClusterKey(secret) for secret in begin.keys]
        self.board = Scoreboard(descriptors[0])
        self.row = self.board.row(begin.row)
        self.listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
        self.row.pid = os.getpid()
        self.row.state = State.STARTING
        self.beat()

    @classmethod
    def start(cls, channel: ChildEnd | None = None) -> Child:
        """Wait for `Begin`, then take on the role: title, log, end of life with the master.

        Exits the process when the master has gone.
        """
        master = os.getppid()
        linux.die_with_parent(master)
        linux.give_up_new_privileges()
        # Ctrl-C in a terminal reaches the whole group; the master decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        channel = channel or ChildEnd.inherited()
        try:
            received = channel.receive()
        except ChannelClosed:
            os._exit(1)
        assert received is not None
        begin, descriptors = received
        assert isinstance(begin, messages.Begin), begin
        child = cls(channel, begin, descriptors)
        setproctitle.setproctitle(title_of(begin.role, begin.slot))
        log.log_to_master(child.settings.logging.level)
        return child

    def beat(self) -> None:
        """Show life."""
        self.row.beat = time.monotonic()

    def obey(self, carry_out: Callable[[messages.Order], None], gone: Callable[[], None]) -> None:
        """Have orders carried out as they come, in the running loop of asyncio; `gone`: the master is."""
        # Here, for most children have no such loop, and start without it.
        import asyncio

        def read() -> None:
            try:
                received = self.channel.receive(wait=False)
            except ChannelClosed:
                gone()
                return
            if received is not None:
                carry_out(received[0])

        asyncio.get_running_loop().add_reader(self.channel.fileno(), read)

    def ready(self, **info: str) -> None:
        self.row.state = State.IDLE
        self.beat()
        self.channel.send(messages.Ready(info))

    def happened(self, event: str, reason: str, **details: str | int | float | None) -> None:
        """Tell the master of an event; it logs and keeps it."""
        self.channel.send(messages.Happened(event, reason, details))

    def configure(self, order: messages.Configure) -> None:
        """Take over new settings."""
        self.settings = _decode_settings(order.settings)
        self.keys = [ClusterKey(secret) for secret in order.keys]
        log.set_level(self.settings.logging.level)
        logging.getLogger("qgsd").debug("new settings taken over")
