# SPDX-License-Identifier: GPL-2.0-or-later
"""Children that are started when somebody first knocks at their socket, and stay from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qgsd.master.listeners import Listener


class Knock:
    """Waits for the first connection at a listening socket; it stays in the kernel's queue for the child."""

    def __init__(self, listener: Listener | None, wake: Callable[[], None]) -> None:
        self.heard = False
        self._listener = listener
        self._wake = wake
        if listener is not None:
            asyncio.get_running_loop().add_reader(listener.socket.fileno(), self._hear)

    def _hear(self) -> None:
        self.close()
        self.heard = True
        self._wake()

    def close(self) -> None:
        """Wait no longer."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.socket.fileno())
            self._listener = None
