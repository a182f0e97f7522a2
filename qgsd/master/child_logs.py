# SPDX-License-Identifier: GPL-2.0-or-later
"""What children write to stderr, turned into records of the master's log.

A worker's own records say themselves which request they are about. For all else that it writes (GDAL, a
plugin's print, a dying interpreter) that is the request it was serving: the one that a mark behind the line
names (`log.settle`), else the one that its row of the scoreboard names now.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from qgsd.log import MARK, parse_line

_LONGEST = 16_384

Heard = Callable[[int, str], None]
Subject = Callable[[], str]


class _LineReader(asyncio.Protocol):
    """Cuts a stream into lines; a line without end is cut at a bound."""

    def __init__(self, name: str, heard: Heard, subject: Subject) -> None:
        self._logger = logging.getLogger(name)
        self._heard = heard
        self._subject = subject
        self._rest = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        for text, subject in with_subjects([_text(line) for line in lines], self._subject):
            self._log(text, subject)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._log(_text(self._rest), self._subject())
        if not self.ended.done():
            self.ended.set_result(None)

    def _log(self, line: str, subject: str) -> None:
        level, text, is_record = parse_line(line)
        if text:
            told = f"[{subject}] {text}" if subject and not is_record else text
            self._heard(level, told)
            self._logger.log(level, "%s", told)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").rstrip()


def with_subjects(lines: list[str], subject: Subject) -> list[tuple[str, str]]:
    """Lines that came together, each with the request that it may be about; the marks taken out.

    >>> with_subjects(["a", "<=>r1", "b"], lambda: "r2")
    [('a', 'r1'), ('b', 'r2')]
    """
    if not lines:
        return []
    told: list[tuple[str, str]] = []
    id = subject()
    for line in reversed(lines):
        if line.startswith(MARK):
            id = line.removeprefix(MARK)
        else:
            told.append((line, id))
    return told[::-1]


async def follow(descriptor: int, name: str, heard: Heard, subject: Subject) -> None:
    """Log what comes through the pipe, as records of the logger `name`, until its last writer has gone.

    `heard` is called with level and text of each line; `subject` gives the id of the request in hand, or "".
    """
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_read_pipe(lambda: _LineReader(name, heard, subject), pipe)
    try:
        await protocol.ended
    finally:
        transport.close()
