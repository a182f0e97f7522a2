# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps that wait, by the rows in which they lie beside each other: see `proxy.metatiles`. Pure."""

from __future__ import annotations

from itertools import islice

from qgsd.messages import Tile
from qgsd.proxy.flights import Job

# A decision looks at so many neighbours at most.
_LOOK_AT = 256


class Rows:
    """Maps that wait and have not been at a worker yet, by the rows that they are of."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Job]] = {}

    def add(self, tile: Tile, job: Job) -> None:
        self._rows.setdefault(tile.row, {})[job.id] = job

    def remove(self, tile: Tile, job: Job) -> None:
        """Nothing happens if it is not there."""
        row = self._rows.get(tile.row)
        if row is not None:
            row.pop(job.id, None)
            if not row:
                del self._rows[tile.row]

    def beside(self, tile: Tile) -> list[Job]:
        """Some that wait in its row."""
        return list(islice(self._rows.get(tile.row, {}).values(), _LOOK_AT))

    def __len__(self) -> int:
        return len(self._rows)
