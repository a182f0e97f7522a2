# SPDX-License-Identifier: GPL-2.0-or-later
"""A fork that is made before it is needed.

A worker that has died leaves clients waiting, and a good part of that time would be the fork: the tables of
all memory are copied twice, and each page costs at its first touch. So the template keeps one fork in hand,
made when nothing else is to be done. It waits for its order, has no slot, and ends with the template.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NoReturn

import setproctitle

from qgsd import linux, messages
from qgsd.channel import ChannelClosed, ChildEnd, MasterEnd, pair
from qgsd.worker import forking

Begin = Callable[[messages.Fork, list[int]], NoReturn]


class Spare:
    """The template's end of it."""

    def __init__(self, end: MasterEnd, pid: int) -> None:
        self._end = end
        self._pid = pid

    def begins(
        self, order: messages.Fork, descriptors: list[int], tell: Callable[[messages.Forked], None]
    ) -> bool:
        """Have it become a worker, after the master has been told; False when it cannot. Once only."""
        try:
            if not isinstance(self._end.receive(), messages.Ready):
                # Still at what it does beforehand, or stuck there: nobody may wait for it.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                return False
            tell(messages.Forked(order.row, self._pid))
            # If it has ended just now, the master will see.
            with contextlib.suppress(ChannelClosed):
                self._end.send(order, descriptors)
        except ChannelClosed:
            return False
        finally:
            self._end.close()
        return True


def make(master: int, forget: Callable[[], None], rehearse: Callable[[], None], begin: Begin) -> Spare | None:
    """Fork one; None where there is no room. In the new process `forget` closes what is the template's,
    `rehearse` does beforehand what can be, and `begin` becomes the worker when the order comes."""
    ours, theirs = pair()
    waiting = ChildEnd(theirs)

    def become(middle: int) -> NoReturn:
        ours.close()
        forget()
        begin(*_wait(waiting, middle, master, rehearse))

    try:
        forking.fork_orphan(become, lambda pid: waiting.send(messages.Forked(0, pid)))
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
    end = MasterEnd(ours)
    try:
        told = end.receive()
    except ChannelClosed:
        told = None
    if not isinstance(told, messages.Forked):
        end.close()
        return None
    return Spare(end, told.pid)


def _wait(
    waiting: ChildEnd, middle: int, master: int, rehearse: Callable[[], None]
) -> tuple[messages.Fork, list[int]]:
    """The order and its descriptors. Ends the process where none will come."""
    forking.renew(middle, master)
    linux.die_with_parent(master)
    rehearse()
    try:
        waiting.send(messages.Ready({}))
        setproctitle.setproctitle("qgsd: spare")
        received = waiting.receive()
    except ChannelClosed:
        os._exit(0)
    waiting.close()
    assert received is not None
    order, descriptors = received
    assert isinstance(order, messages.Fork), order
    return order, descriptors
