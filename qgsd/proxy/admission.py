# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a request is taken up at all, and who has to leave a full queue for it."""

from __future__ import annotations

from qgsd.proxy.backlog import Backlog
from qgsd.proxy.breaker import Breakers
from qgsd.proxy.decisions import Arrival, Fail, Limits
from qgsd.proxy.matchmaker import Matchmaker
from qgsd.proxy.quarantine import Quarantine
from qgsd.proxy.roster import Roster


class Admission:
    """`limits` may be set anew at any time."""

    def __init__(
        self,
        backlog: Backlog,
        roster: Roster,
        matchmaker: Matchmaker,
        quarantine: Quarantine,
        breakers: Breakers,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self._backlog = backlog
        self._roster = roster
        self._matchmaker = matchmaker
        self._quarantine = quarantine
        self._breakers = breakers

    def refusal(self, arrival: Arrival, now: float) -> Fail | None:
        """Why a request is not even queued."""
        peer, id = arrival.peer, arrival.id
        if arrival.timeout <= 0:
            # Sent again by a dispatcher that went; nobody may share what ends before it begins.
            return Fail(peer, id, 504, "queue_timeout", "no worker was free in time", key=arrival.key)
        if self._quarantine.blocks(arrival.fingerprint, now):
            message = f"this request crashed QGIS before and is not run for a while ({arrival.fingerprint})"
            return Fail(peer, id, 500, "quarantined", message)
        if self.is_full and self._is_full_for(arrival, now) and self._backlog.displaced_by(arrival) is None:
            return self._queue_full(arrival)
        if wait := self._breakers.refuses(arrival.key, now):
            message = f"'{arrival.key}' has not answered in time lately; try again in {wait:.0f} s"
            return Fail(peer, id, 503, "project_unavailable", message, retry_after=wait)
        return None

    def make_room(self, arrival: Arrival, now: float) -> list[Fail]:
        """In a full queue another request has to go for this one."""
        if not self._is_full_for(arrival, now):
            return []
        gone = self._backlog.displaced_by(arrival)
        assert gone is not None, "it would have been refused"
        refusal = self._queue_full(gone.arrival)
        self._backlog.end(gone.arrival.id)
        return [refusal]

    def beyond_the_queue(self, arrival: Arrival, now: float) -> bool:
        """The queue is full, but this request need not wait."""
        return self.is_full and self._runs_at_once(arrival, now)

    @property
    def is_full(self) -> bool:
        """The queue has no place left."""
        return self._backlog.waiting >= self.limits.max_queue

    def _is_full_for(self, arrival: Arrival, now: float) -> bool:
        return self.is_full and not self._runs_at_once(arrival, now)

    def _runs_at_once(self, arrival: Arrival, now: float) -> bool:
        """An idle worker is there that what waits may not have, but this request may."""
        if not self._roster.some_idle or not self._roster.has_room(arrival.depth):
            return False
        if arrival.depth:
            return True
        # Where others wait for a worker that has the project open, it would wait behind them.
        waits = self._backlog.turns.length(arrival.key) > 0
        return not waits and self._matchmaker.may_begin(arrival.key, now)

    def _queue_full(self, arrival: Arrival) -> Fail:
        message = f"the queue is full ({self._backlog.waiting} requests wait); try again shortly"
        return Fail(arrival.peer, arrival.id, 503, "queue_full", message)
