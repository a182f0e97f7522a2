# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that nobody waits for gives way to requests: loading a project before it is asked for."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

# About a third of a processor beside a process that would take all of it: more would make changes late.
_NICER = 3
_CAP_SYS_NICE = 1 << 23


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """Run with less of a claim to processors, where the process may take it back afterwards."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    if not _may_return_to(usual):
        yield
        return
    os.setpriority(os.PRIO_PROCESS, 0, usual + _NICER)
    try:
        yield
    finally:
        # Linux counts it by thread; those that were started meanwhile have inherited it.
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, int(thread), usual)


def _may_return_to(nice: int) -> bool:
    """setpriority(2): with CAP_SYS_NICE, or as far as RLIMIT_NICE says."""
    if 20 - resource.getrlimit(resource.RLIMIT_NICE)[0] <= nice:
        return True
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) & _CAP_SYS_NICE)
