# SPDX-License-Identifier: GPL-2.0-or-later
"""The clock of the day jumps, for the instance only: a preloaded library shows its processes another one.

CLOCK_MONOTONIC is left alone, because a real jump leaves it alone as well. Whoever took the clock of the
day for a deadline would see all requests, or none, over their time. A library of our own (clock.c), because
libfaketime 0.9.10 makes absolute sleeps of CLOCK_MONOTONIC fail now and then (EINVAL), and because a time
namespace has everything but another CLOCK_REALTIME.
"""

from __future__ import annotations

import contextlib
import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from tests.chaos.fault import Place, Target

_SOURCE = Path(__file__).with_name("clock.c")
_DAY = 86_400


def cannot_be_false() -> str:
    return "" if shutil.which("cc") else "a false clock needs a C compiler (cc)"


@contextlib.contextmanager
def false_clock(folder: Path) -> Iterator[Place]:
    library, offset = folder / "clock.so", folder / "clock"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(_SOURCE)], check=True
    )
    offset.write_bytes(struct.pack("q", 0))
    yield Place(folder / "i", {"LD_PRELOAD": str(library), "FALSE_CLOCK": str(offset)})


def jump(target: Target) -> None:
    """Hours or days, forward or back; an answer's Date shows that the server believes it."""
    seconds = target.random.choice([-1, 1]) * target.random.randrange(3600, 30 * _DAY)
    path = Path(target.place.environment["FALSE_CLOCK"])
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as offset:
        offset[:] = struct.pack("q", seconds)
    date = parsedate_to_datetime(target.instance.get("/ping").headers["Date"]).timestamp()
    assert abs(date - time.time() - seconds) < 60, "the clock of the server has not jumped"
