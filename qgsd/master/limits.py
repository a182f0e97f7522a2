# SPDX-License-Identifier: GPL-2.0-or-later
"""The bounds of the policies, as the settings say."""

from __future__ import annotations

from qgsd.config import Settings
from qgsd.master.snapshot import Limits


def limits_of(settings: Settings) -> Limits:
    """The bounds of the policies, from the settings of the moment."""
    bounds = settings.supervision
    return Limits(
        start_timeout=bounds.start_timeout,
        kill_grace=bounds.kill_grace,
        stop_timeout=bounds.stop_timeout,
        beat_timeout=bounds.beat_timeout,
        burn_timeout=bounds.burn_timeout,
        stall_timeout=bounds.stall_timeout,
        memory_limit=bounds.memory_limit,
        memory_hard_limit=bounds.memory_hard_limit,
        high_water=settings.server.memory_high_water_mark,
        max_requests=bounds.max_requests,
        max_age=bounds.max_age,
    )
