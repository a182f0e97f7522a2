# SPDX-License-Identifier: GPL-2.0-or-later
"""Orphans that the subreaper inherited and never started: forks in reserve, programs left by plugins."""

from __future__ import annotations

import asyncio
import os
import time

_PATIENCE = 0.5


def reap(known: set[int]) -> bool:
    """Bury those that have ended, but none of the `known`. Whether any children live."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if dead is None or dead.si_pid in known:
            return True
        os.waitpid(dead.si_pid, os.WNOHANG)


async def see_off() -> None:
    """At the end of the instance: those that end with it are given a moment for it."""
    until = time.monotonic() + _PATIENCE
    while reap(set()) and time.monotonic() < until:
        await asyncio.sleep(0.005)
