# SPDX-License-Identifier: GPL-2.0-or-later
"""The dispatcher's part in telling of the queue: figures in the scoreboard, lines when the master asks."""

from __future__ import annotations

from qgsd import messages
from qgsd.channel import ChildEnd
from qgsd.proxy import queue_view
from qgsd.proxy.scheduler import Scheduler
from qgsd.scoreboard import Row

# A packet of the channel holds so many well.
_PAGE = 1000
# Finding the oldest request means looking at all of them.
_LOOK_AGAIN = 0.2


class QueueDesk:
    """Counts what the scheduler has, and tells it."""

    def __init__(self, scheduler: Scheduler, channel: ChildEnd, now: float) -> None:
        self._scheduler = scheduler
        self._channel = channel
        self._clock = queue_view.WorkerClock(now)
        self._looked_at = now

    def note(self, now: float) -> None:
        """Add up the time of workers; to be called after every change."""
        self._clock.now_at_work(self._scheduler.workers_at_work, self._scheduler.workers_present, now)

    def count(self, row: Row, now: float) -> None:
        """Write the figures into the scoreboard."""
        scheduler, clock = self._scheduler, self._clock
        row.waiting, row.workers = scheduler.waiting, scheduler.workers
        row.worker_ms, row.busy_ms = int(1000 * clock.total), int(1000 * clock.busy)
        if not scheduler.waiting:
            row.oldest = 0.0
        elif now - self._looked_at > _LOOK_AGAIN or not row.oldest:
            self._looked_at = now
            row.oldest = queue_view.oldest(scheduler.jobs())

    def tell(self, ticket: int, now: float) -> None:
        lines = queue_view.lines(self._scheduler.jobs(), now)
        for start in range(0, len(lines) + 1, _PAGE):
            more = start + _PAGE <= len(lines)
            self._channel.send(messages.QueueListed(ticket, lines[start : start + _PAGE], more))
