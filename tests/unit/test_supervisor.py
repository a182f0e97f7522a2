# SPDX-License-Identifier: GPL-2.0-or-later
"""The supervisor's registry when things happen in an awkward order, with real processes and channels."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from qgsd import channel, messages
from qgsd.channel import ChannelClosed, ChildEnd, MasterEnd
from qgsd.config import load
from qgsd.master.children import ChildRecord
from qgsd.master.instance import Instance
from qgsd.master.pidfile import PidFile
from qgsd.master.supervisor import Supervisor


class Lost:
    """A link to the dispatcher that keeps what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def worker_lost(self, name: str, reason: str, *, own_fault: bool) -> None:
        self.names.append(name)


@pytest.fixture
def world(tmp_path: Path) -> Callable[[], tuple[Supervisor, ChildEnd]]:
    """A supervisor that serves already, and the template's end of its channel."""

    def make() -> tuple[Supervisor, ChildEnd]:
        loaded = load(None, {}, {("worker", "host"): "127.0.0.1"})
        pidfile = PidFile(tmp_path / "q.pid")
        (pidfile.directory / "tmp").mkdir()
        supervisor = Supervisor(Instance("worker", "q", loaded, {}, pidfile, ""))
        assert supervisor.link is not None
        supervisor.link.close()
        supervisor.link = Lost()  # type: ignore[assignment]
        supervisor.serving = True
        ours, theirs = channel.pair()
        log, _writer = os.pipe()
        number = supervisor.children.free_row()
        row = supervisor.children.board.row(number)
        template = ChildRecord(number, "template", 0, 1, row, MasterEnd(ours), 0.0, log, ready_at=1.0)
        template.pid = os.getpid()
        supervisor.children.add(template)
        return supervisor, ChildEnd(theirs)

    return make


def fork(template: ChildEnd, *, tells: bool) -> int:
    """What the template does; the worker dies of its first request."""
    received = template.receive()
    assert received is not None
    order, descriptors = received
    assert isinstance(order, messages.Fork)
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    for descriptor in descriptors:
        os.close(descriptor)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if tells:
        template.send(messages.Forked(order.row, pid))
    return pid


@pytest.mark.parametrize("template_lives", [True, False])
def test_a_worker_that_dies_before_the_word_of_its_fork_was_read(
    world: Callable[[], tuple[Supervisor, ChildEnd]], template_lives: bool
) -> None:
    """The dispatcher may know it already, with a request that waits for it."""

    async def play() -> None:
        supervisor, template = world()
        supervisor._start("worker", 0)
        (worker,) = supervisor.children.of("worker")
        pid = fork(template, tells=True)
        if not template_lives:
            template.close()
        supervisor._report(worker)
        async with asyncio.timeout(10):
            while supervisor.children.of("worker"):
                await asyncio.sleep(0)
        assert supervisor.link.names == [supervisor.instance.worker_name(0, pid)]  # type: ignore[union-attr]
        told = [event.reason for event in supervisor.events.recent if event.event == "worker.crashed"]
        assert told == ["worker 0 ended by itself with status 3"]

    asyncio.run(play())


def test_a_worker_that_was_never_forked_is_forgotten(
    world: Callable[[], tuple[Supervisor, ChildEnd]],
) -> None:
    async def play() -> None:
        supervisor, template = world()
        supervisor._start("worker", 0)
        (worker,) = supervisor.children.of("worker")
        os.waitpid(fork(template, tells=False), 0)
        supervisor._report(worker)
        assert supervisor.children.of("worker") == []
        assert supervisor.link.names == []  # type: ignore[union-attr]

    asyncio.run(play())


def test_at_the_end_a_worker_that_is_being_forked_is_waited_for(
    world: Callable[[], tuple[Supervisor, ChildEnd]],
) -> None:
    """Else it would be left behind for a moment."""

    async def play() -> None:
        supervisor, template = world()
        supervisor._start("worker", 0)
        (worker,) = supervisor.children.of("worker")
        supervisor.stopping = "quick"
        supervisor.kill(worker.key, "stopped", "the instance stops at once")
        assert supervisor.children.of("worker") == [worker]
        received = template.receive()
        assert received is not None
        forked = ChildEnd(socket.socket(fileno=received[1][0]))
        begin = forked.receive()
        assert begin is not None
        with pytest.raises(ChannelClosed):
            forked.receive()
        forked.close()
        async with asyncio.timeout(10):
            while supervisor.children.of("worker"):
                await asyncio.sleep(0)

    asyncio.run(play())
