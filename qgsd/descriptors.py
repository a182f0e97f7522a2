# SPDX-License-Identifier: GPL-2.0-or-later
"""How many descriptors this process may still open.

The kernel always gives the lowest free number (open(2)), so the number of a fresh one tells
how many are in use, up to holes that are filled first. It costs two system calls, where
counting /proc/self/fd costs a thousand in the very process that has the most of them.
"""

from __future__ import annotations

import os
import resource


def limit() -> int:
    """The most this process may have open (RLIMIT_NOFILE, the soft limit)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def raise_limit() -> None:
    """As many as the administrator allows. Not for code that uses select(2), which ends at 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def in_use() -> int:
    """About how many are open; `limit()` when not a single one is left."""
    try:
        probe = os.dup(2)
    except OSError:
        return limit()
    os.close(probe)
    return probe
