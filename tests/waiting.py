# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a condition with a bound, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true value of `condition`; AssertionError naming `what` when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
