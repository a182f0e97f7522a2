# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling systemd, over a real datagram socket: a path and an abstract name."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from qgsd.master.notify import Notifier


class Manager:
    """What systemd does: it listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """All that has come; a datagram is there as soon as it is sent."""
        told: list[str] = []
        while True:
            try:
                told.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return told


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = request.param == "abstract"
    made = Manager(f"@qgsd-test-{uuid.uuid4()}" if abstract else str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_each_state_is_told_as_systemd_reads_it(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"})
    notifier.ready()
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    ready, alive, reloading, stopping = manager.heard()
    assert ready == f"READY=1\nMAINPID={os.getpid()}"
    assert alive == "WATCHDOG=1"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*", reloading)
    assert stopping == "STOPPING=1"


def test_a_status_is_told_when_it_changes(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    for text in ("", "one", "one", "two", "one"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=one", "STATUS=two", "STATUS=one"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fine\nSTOPPING=1", "STATUS=fine STOPPING=1"),
        ("a\r\nMAINPID=1\u2028b", "STATUS=a MAINPID=1 b"),
        ("3 workers · straße", "STATUS=3 workers · straße"),
        ("\udcff.qgs does not load", "STATUS=?.qgs does not load"),
    ],
)
def test_a_status_is_one_line_whatever_it_says(manager: Manager, text: str, told: str) -> None:
    Notifier({"NOTIFY_SOCKET": manager.address}).status(text)
    assert manager.heard() == [told]


def test_children_do_not_speak_for_the_master(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "x"}
    Notifier(environ)
    assert environ == {"PATH": "x"}


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("3000000", "", 3.0),
        ("3000000", str(os.getpid()), 3.0),
        ("500", "", 0.0005),
        ("3000000", "1", None),
        ("3000000", "nonsense", None),
        ("", "", None),
        ("0", "", None),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("²", "", None),
    ],
)
def test_the_watchdog_is_fed_only_when_it_is_ours(
    manager: Manager, usec: str, pid: str, seconds: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    notifier = Notifier(environ)
    assert notifier.watchdog_seconds == seconds
    notifier.alive()
    assert manager.heard() == (["WATCHDOG=1"] if seconds else [])


@pytest.mark.parametrize(
    "address",
    ["", "@", "/nowhere/at/all", "@nobody-listens", "vsock:2:1234", "relative", "/x" * 200, "@" + "x" * 200],
)
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})
    for tell in (notifier.ready, notifier.reloading, notifier.alive, notifier.stopping):
        tell()
    notifier.status("x")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_manager_that_does_not_read_is_not_waited_for(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1"})
    for _ in range(5000):
        notifier.alive()
    heard = manager.heard()
    assert 0 < len(heard) < 5000
    notifier.stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_a_manager_that_comes_back_is_told_again(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    manager = Manager(address)
    notifier.stopping()
    assert manager.heard() == ["STOPPING=1"]
    manager.socket.close()
