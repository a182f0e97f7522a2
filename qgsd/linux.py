# SPDX-License-Identifier: GPL-2.0-or-later
"""The few Linux calls that Python's standard library lacks.

ctypes rather than python-prctl: three constants against a package that must be compiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl({option})")


def become_subreaper() -> None:
    """Orphaned descendants become children of this process, see prctl(2). OSError when refused."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def give_up_new_privileges() -> None:
    """Neither this process nor what it starts gains rights by exec (setuid programs, file capabilities)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def compute_in_the_background() -> None:
    """Run this thread, and what it starts, as SCHED_BATCH, see sched(7), where that is allowed."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; exit at once if `parent` is gone already.

    The setting is tied to the parent of the moment, so it must come after a re-parenting.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
