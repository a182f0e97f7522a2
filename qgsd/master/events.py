# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened in an instance: kept for a while, logged, and told to those who follow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping

from qgsd.control.records import EventRecord

logger = logging.getLogger("qgsd.events")

_KEPT = 1000
_WAITING = 10_000
_ALARMING = (".crashed", ".killed", ".broken", ".backoff", ".failed")

Details = Mapping[str, str | int | float | None]


class EventLog:
    """The instance's memory of events."""

    def __init__(self) -> None:
        self.recent: deque[EventRecord] = deque(maxlen=_KEPT)
        self._followers: list[asyncio.Queue[EventRecord]] = []

    def add(self, event: str, reason: str, details: Details | None = None) -> None:
        record = EventRecord(time.time(), event, reason, dict(details or {}))
        self.recent.append(record)
        level = logging.WARNING if event.endswith(_ALARMING) or event.startswith("request.") else logging.INFO
        logger.log(level, "%s: %s", event, reason)
        for queue in self._followers:
            if not queue.full():
                queue.put_nowait(record)

    def follow(self) -> asyncio.Queue[EventRecord]:
        """A queue of all events from now on; one that nobody reads loses what does not fit."""
        queue: asyncio.Queue[EventRecord] = asyncio.Queue(_WAITING)
        self._followers.append(queue)
        return queue

    def unfollow(self, queue: asyncio.Queue[EventRecord]) -> None:
        if queue in self._followers:
            self._followers.remove(queue)
