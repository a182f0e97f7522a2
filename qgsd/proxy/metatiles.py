# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbouring maps of a row that wait at the same time are rendered as one picture: a metatile.

Nothing waits for its neighbours to come. When a worker becomes free and a map's turn has come, those beside
it that wait as well go with it, of projects whose operator wants that. Each keeps its own client, deadline
and end. The worker answers the neighbours one by one and the first one last; what it has not answered by
then, or when it is lost, waits again and is rendered by itself: so nothing can come of a metatile that would
not have come of single maps. Pure.

Rows only, no rectangles: QGIS takes the scale of a map in degrees, and how far it simplifies geometries of
another CRS, from the middle of the picture, and these are the same along a row.
"""

from __future__ import annotations

from collections.abc import Iterable

from qgsd.messages import Tile
from qgsd.proxy.backlog import Backlog, line_of
from qgsd.proxy.costs import Costs
from qgsd.proxy.decisions import Decision, Fail, Joined, Retry
from qgsd.proxy.flights import Job, Rider
from qgsd.proxy.roster import Roster, Worker

# By so much of a tile two may lie off a common grid: a thousandth of a pixel.
_OFF = 4e-6
# A metatile is to take so much of the time at most that its request has left.
_PATIENCE = 0.25


def neighbours(tile: Tile, others: Iterable[tuple[str, Tile]], most: int) -> list[str]:
    """Those of the `others`, all of its row, that make a picture without a gap with it: `most` with itself.

    >>> def at(*places): return [(str(place), Tile("r", place * 10.0, 10.0, 9)) for place in places]
    >>> neighbours(Tile("r", 30.0, 10.0, 9), at(1, 2, 4, 5, 7, 4.5), 9)
    ['4', '5', '2', '1']
    >>> neighbours(Tile("r", 30.0, 10.0, 9), at(1, 2, 4, 5, 7), 4)
    ['4', '5', '2']
    """
    places: dict[int, str] = {}
    for id, other in others:
        steps = (other.at - tile.at) / tile.size
        place = round(steps)
        if place and abs(steps - place) <= _OFF and abs(other.size / tile.size - 1) <= _OFF:
            places.setdefault(place, id)
    found: list[str] = []
    for step in (1, -1):
        place = step
        while place in places and len(found) + 1 < most:
            found.append(places[place])
            place += step
    return found


def most_at_once(tile: Tile, waiting: int, workers: int, seconds: float, left: float) -> int:
    """How many are to be rendered as one, of those that wait in all, where one takes so many `seconds`.

    No more than a worker's part of what waits, or one would draw what others could draw beside it.

    >>> tile = Tile("r", 0.0, 1.0, most=8)
    >>> most_at_once(tile, 40, 2, 0.02, 20.0), most_at_once(tile, 6, 2, 0.02, 20.0)
    (8, 3)
    >>> most_at_once(tile, 40, 2, 2.0, 20.0), most_at_once(tile, 40, 2, 30.0, 20.0)
    (2, 1)
    """
    part = -(-waiting // max(1, workers))
    in_time = int(_PATIENCE * left / max(seconds, 0.001))
    return max(1, min(tile.most, part, in_time))


class Metatiles:
    """Joins neighbours where a worker begins one of them, and takes them apart again."""

    def __init__(self, backlog: Backlog, roster: Roster, costs: Costs) -> None:
        self._backlog = backlog
        self._roster = roster
        self._costs = costs
        # Requests that were answered by the rendering of a neighbour.
        self.tiles_cut = 0

    def gather(self, job: Job, worker: bytes, now: float) -> list[Job]:
        """Those that go to the worker with this one, whose turn it is; they have left their line."""
        arrival = job.arrival
        tile = arrival.tile
        # What has been at a worker before may have cost it.
        if tile is None or job.begun or job.recalled or not self._roster[worker].joins:
            return []
        seconds = self._costs.expected(arrival.key, arrival.kind)
        left = job.deadline - now
        most = most_at_once(tile, self._backlog.waiting, self._roster.usual, seconds, left)
        if most < 2:
            return []
        line = line_of(arrival)
        fit = {
            other.id: other
            for other in self._backlog.rows.beside(tile)
            if other is not job and other.generation == job.generation and line_of(other.arrival) == line
        }
        tiles = ((id, other.arrival.tile) for id, other in fit.items() if other.arrival.tile is not None)
        jobs = [fit[id] for id in neighbours(tile, tiles, most)]
        for other in jobs:
            self._backlog.turns.remove(line, other.id)
            self._backlog.begin(other, worker, now)
        if jobs:
            together = (job, *jobs)
            for one in together:
                one.beside = together
        return jobs

    def told(self, jobs: Iterable[Job], now: float) -> tuple[Joined, ...]:
        """What the worker is to be sent of them."""
        return tuple(Joined(job.id, now - job.first.arrived_at, job.arrival.payload) for job in jobs)

    def finished(self, worker: bytes, state: Worker, id: str) -> Job | None:
        """A neighbour has been answered: its job, which is over, None when nobody waited for it any more."""
        state.joined.discard(id)
        job = self._backlog.get(id)
        if job is None or job.worker != worker:
            return None
        self.tiles_cut += len(self._backlog.end_all(job))
        return job

    def take_apart(self, worker: bytes, state: Worker, *, retried: bool) -> list[Decision]:
        """Its work is over, or it is lost: those it has not answered wait again, each by itself.

        `retried`: that is for the record.
        """
        decisions: list[Decision] = []
        for id in sorted(state.joined):
            job = self._backlog.get(id)
            if job is None or job.worker != worker:
                continue
            if job.started:
                decisions += map(_broken_off, self._backlog.end_all(job))
                continue
            job.beside, job.timed_out = (), False
            self._backlog.recall(job)
            if retried:
                decisions.append(Retry(job.id, job.arrival.key, worker))
        state.joined.clear()
        return decisions


def _broken_off(rider: Rider) -> Fail:
    peer, id, key = rider.arrival.peer, rider.arrival.id, rider.arrival.key
    return Fail(peer, id, 500, "worker_lost", "QGIS failed in the middle of this answer", key=key)
