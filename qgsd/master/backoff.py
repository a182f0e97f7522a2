# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a slot rests after its child has crashed.

QGIS crashes on real requests, so one crash costs no pause. A child that fails again and
again before it has served for a while would only burn the machine: the pause doubles with
each such failure and is over as soon as one has done good service.
"""

from __future__ import annotations

from dataclasses import dataclass

GOOD_SERVICE = 1.0
_FIRST_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Record:
    """A slot's past: failures in a row without good service between them."""

    failures: int = 0


def after_crash(record: Record, *, served: float | None) -> Record:
    """The record after a crash; `served` seconds between ready and crash, None when it never was ready."""
    good = served is not None and served >= GOOD_SERVICE
    return Record(failures=1 if good else record.failures + 1)


def pause(record: Record, longest: float) -> float:
    """Seconds to rest before the next start.

    >>> [pause(Record(n), 30.0) for n in (0, 1, 2, 3, 20)]
    [0.0, 0.0, 0.1, 0.2, 30.0]
    """
    if record.failures <= 1:
        return 0.0
    return float(min(longest, _FIRST_PAUSE * 2 ** min(record.failures - 2, 60)))
