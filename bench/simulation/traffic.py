# SPDX-License-Identifier: GPL-2.0-or-later
"""Who asks for what, when, and what it takes: made from recorded times, the same for every scheduler."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

RECORDED = Path(__file__).parent / "seconds.json"


@dataclass(frozen=True, slots=True)
class Request:
    """`seconds` of rendering where the project is open; heavy ones are large maps."""

    number: int
    at: float
    project: str
    kind: str
    seconds: float

    @property
    def is_heavy(self) -> bool:
        return self.kind == "map"


@dataclass(frozen=True)
class Scale:
    """`load` is the share of the workers' time that rendering alone would take; loading comes on top."""

    workers: int
    projects: int
    requests: int
    cache: int = 20
    load: float = 0.3
    # Every so many-th project is asked for large maps only, the others for tiles and a few documents.
    heavy: int = 25
    # So many clients ask for the next thing when they have been answered; 0: requests come when they come.
    clients: int = 0


class Traffic:
    """Projects are asked for by Zipf's law, at random moments; their loads differ, as projects do."""

    def __init__(self, scale: Scale, seed: int = 1) -> None:
        self.scale = scale
        self._recorded: dict[str, list[float]] = json.loads(RECORDED.read_text())
        self._seed = seed
        draw = random.Random(seed)
        loads = self._recorded["load"]
        self._loads: list[float] = [
            draw.choice(loads) * draw.lognormvariate(0.0, 0.7) for _ in range(min(scale.projects, 1000))
        ]

    def load_seconds(self, project: str) -> float:
        return self._loads[int(project) % len(self._loads)]

    @property
    def first_seconds(self) -> float:
        """What the first rendering after a load takes longer."""
        first, later = self._recorded["first"], self._recorded["tile"]
        return max(0.0, first[len(first) // 2] - later[len(later) // 2])

    def requests(self) -> Iterator[Request]:
        scale, draw = self.scale, random.Random(self._seed + 1)
        cumulated = list(accumulate(1 / (rank + 1) for rank in range(scale.projects)))
        projects = draw.choices(range(scale.projects), cum_weights=cumulated, k=scale.requests)
        kinds = [self._kind(project, draw) for project in projects]
        seconds = [draw.choice(self._recorded[kind]) for kind in kinds]
        pause = sum(seconds) / len(seconds) / (scale.load * scale.workers)
        now = 0.0
        for number, project in enumerate(projects):
            now += draw.expovariate(1 / pause)
            yield Request(number, now, str(project), kinds[number], seconds[number])

    def _kind(self, project: int, draw: random.Random) -> str:
        if project % self.scale.heavy == self.scale.heavy // 2:
            return "map"
        return "document" if draw.random() < 0.05 else "tile"
