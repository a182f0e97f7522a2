# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling systemd how it goes: sd_notify(3).

Two dozen lines rather than python3-systemd, which pip can only install where the headers
of libsystemd are; the protocol is one datagram and is promised to stay.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Does nothing when the process was not started by a service manager that listens."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Takes its variables out of the environment: children must not speak for the master."""
        address = environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        ours = watchdog.isdecimal() and (not pid or pid == str(os.getpid()))
        # 0 asks for nothing, as in sd_watchdog_enabled(3).
        self.watchdog_seconds = (int(watchdog) / 1_000_000 or None) if ours else None
        self._status = ""

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.setblocking(False)
            datagram.sendto("\n".join(assignments).encode(errors="replace"), self._address)

    def ready(self) -> None:
        self._send("READY=1", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """To be called more often than `watchdog_seconds`."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it is another than before."""
        text = " ".join(text.split())
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")
