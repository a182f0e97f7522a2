# SPDX-License-Identifier: GPL-2.0-or-later
"""An answer of QGIS on its way to the dispatcher."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qgsd import messages

if TYPE_CHECKING:
    from qgsd.worker.serve import Worker


class Answer:
    """The messages that make up one answer, with the time it took."""

    def __init__(self, worker: Worker, id: str, queued: float, load: float, made_of: tuple[int, str]) -> None:
        self.worker = worker
        self.id = id
        self.queued = queued
        self.load = load
        # Generation and version of the project.
        self.made_of = made_of
        self.started = time.monotonic()
        self.opened = False
        self.pieces = 0
        # How many were rendered as one, if any were.
        self.tiles = 0

    def beside(self, id: str, queued: float) -> Answer:
        """The answer to a request that was rendered with this one."""
        other = Answer(self.worker, id, queued, self.load, self.made_of)
        other.started, other.tiles = self.started, self.tiles
        return other

    def _timing(self) -> messages.Timing:
        seconds = time.monotonic() - self.started
        return messages.Timing(self.queued, self.load, seconds, tiles=self.tiles)

    def send(self, status: int, headers: messages.Headers, data: bytes, last: bool) -> None:
        connection = self.worker.connection
        if last:
            self.worker.leave_when_worn()
        if not self.opened:
            self.opened = True
            code = self.worker.qgis.dependence.code
            answer = messages.Answer(
                self.id, status, headers, self._timing(), self.worker.label, last, code, *self.made_of
            )
            connection.send(answer, data)
        elif last:
            connection.send(messages.End(self.id, self._timing(), True, self.pieces), data)
        else:
            self.pieces += 1
            connection.send(messages.Chunk(self.id), data)
            self.worker.heed()

    def fail(self, status: int, code: str, message: str) -> None:
        """None of QGIS will come."""
        self.worker.connection.send(messages.Failure(self.id, status, code, message))

    def end(self, *, complete: bool) -> None:
        self.worker.connection.send(messages.End(self.id, self._timing(), complete, self.pieces))
