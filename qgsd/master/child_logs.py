# SPDX-License-Identifier: GPL-2.0-or-later
"""What children write to stderr, turned into records of the master's log."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from qgsd.log import parse_line

_LONGEST = 16_384

Heard = Callable[[int, str], None]


class _LineReader(asyncio.Protocol):
    """Cuts a stream into lines; a line without end is cut at a bound."""

    def __init__(self, name: str, heard: Heard) -> None:
        self._logger = logging.getLogger(name)
        self._heard = heard
        self._rest = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._log(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._log(self._rest)
        if not self.ended.done():
            self.ended.set_result(None)

    def _log(self, raw: bytes) -> None:
        level, text = parse_line(raw.decode("utf-8", "replace").rstrip())
        if text:
            self._heard(level, text)
            self._logger.log(level, "%s", text)


async def follow(descriptor: int, name: str, heard: Heard) -> None:
    """Log what comes through the pipe, as records of the logger `name`, until its last writer has gone.

    `heard` is called with level and text of each line.
    """
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_read_pipe(lambda: _LineReader(name, heard), pipe)
    try:
        await protocol.ended
    finally:
        transport.close()
