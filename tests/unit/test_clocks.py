# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is decided by the clock of the day, which may jump; it only dates what people read."""

from __future__ import annotations

import re
from pathlib import Path

QGSD = Path(__file__).parents[2] / "qgsd"
# Where the date itself is what is wanted: events, the access log, and a request id that never repeats.
DATING = {
    "master/events.py",
    "control/commands/look.py",
    "proxy/http/access_log.py",
    # The charts' axis of time.
    "admin/exposition.py",
    "proxy/http/handlers.py",
    "proxy/http/hot.py",
    "proxy/http/responder.py",
    "proxy/http/guard.py",
    "proxy/http/spans.py",
    # How old a file is, by its own date.
    "worker/stores/files.py",
}
_CLOCK_OF_THE_DAY = re.compile(
    r"\btime\.time(_ns)?\(|CLOCK_REALTIME|\bdatetime\.(now|today|utcnow)\(|\bdate\.today\("
    r"|from time import|currentDateTime"
)


def test_only_what_is_dated_reads_the_clock_of_the_day() -> None:
    using = {
        str(path.relative_to(QGSD))
        for path in QGSD.rglob("*.py")
        if _CLOCK_OF_THE_DAY.search(path.read_text())
    }
    assert using == DATING
