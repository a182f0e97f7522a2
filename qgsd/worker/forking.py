# SPDX-License-Identifier: GPL-2.0-or-later
"""Forking an orphan that the master inherits, and what a fork must renew (docs/fork-safety.md)."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from typing import NoReturn

logger = logging.getLogger("qgsd.template")

_ADOPTION = 5.0


def fork_orphan(become: Callable[[int], NoReturn], tell: Callable[[int], None]) -> None:
    """Fork twice. `become` runs in the new process and is given the id of the one in between; `tell` in that.

    OSError when there is no room for another process.
    """
    middle = os.fork()
    if middle == 0:
        middle, status = os.getpid(), 1
        try:
            orphan = os.fork()
            if orphan == 0:
                become(middle)
            tell(orphan)
            status = 0
        except BaseException:
            logger.exception("a fork ends on an error")
        finally:
            os._exit(status)
    os.waitpid(middle, 0)


def renew(middle: int, master: int) -> None:
    """In the new process: nothing that would be the same in each, and the master for a parent."""
    _renew_random_numbers()
    _renew_wakeups()
    _wait_for_adoption(middle, master)


def _renew_random_numbers() -> None:
    """Generators copied by the fork would give all workers the same numbers."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _renew_wakeups() -> None:
    """Give Qt's and GLib's event loops event descriptors of this process's own, under the same numbers.

    A thread wakes another's event loop by writing to its eventfd. Inherited, that is one counter for all
    workers: a worker that reads it takes the wake-up of another, which then sleeps although the answer it
    waits for (of a remote layer) has come.
    """
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventfd]":
                own = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                os.dup2(own, int(name), inheritable=False)
                os.close(own)


def _wait_for_adoption(middle: int, master: int) -> None:
    """Wait until the process in between has gone and the master is the parent; without a master, end."""
    patience = time.monotonic() + _ADOPTION
    while (parent := os.getppid()) != master:
        if parent != middle or time.monotonic() > patience:
            os._exit(1)
        time.sleep(0.0005)
