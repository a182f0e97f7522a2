# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a row of measurements grows. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# What a process takes until everything has happened once is no leak.
_WARM_UP = 1 / 3
_FEWEST = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Growth:
    """`level` after the warm-up, and by how much the fitted line rises from there to the end."""

    level: float
    rise: float

    def exceeds(self, tolerance: float) -> bool:
        return self.rise > tolerance


def growth(points: Sequence[Point]) -> Growth:
    """Of (seconds, value) pairs in order, the first third left out.

    ValueError when there are too few to judge.

    >>> growth([(float(t), 5.0) for t in range(9)])
    Growth(level=5.0, rise=0.0)
    """
    steady = list(points)[int(len(points) * _WARM_UP) :]
    if len(steady) < _FEWEST:
        raise ValueError(f"{len(steady)} measurements are too few to judge growth by")
    times, values = zip(*steady, strict=True)
    slope, intercept = statistics.linear_regression(times, values)
    return Growth(intercept + slope * times[0], slope * (times[-1] - times[0]))
