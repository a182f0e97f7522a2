# SPDX-License-Identifier: GPL-2.0-or-later
"""One line that tells people who wait what is waited for; nothing where nobody looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from qgsd.control.operations import Progress
from qgsd.control.tables import clean


@contextlib.contextmanager
def progress_line() -> Iterator[Progress]:
    """A callback that shows progress in one line of the terminal, if stderr is one."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        yield lambda report: None
        return
    line = console.status("")

    def show(report: dict[str, Any]) -> None:
        line.update(Text(progress_text(report)))
        line.start()

    try:
        yield show
    finally:
        line.stop()


def progress_text(report: dict[str, Any]) -> str:
    """A progress report in a line.

    >>> progress_text({"message": "starting", "done": 5, "total": 8})
    'starting (5 of 8)'
    """
    message = report.get("message")
    numbers = "done" in report and "total" in report
    if not isinstance(message, str):
        rest = {key: value for key, value in report.items() if not (numbers and key in ("done", "total"))}
        message = " ".join(f"{key} {value}" for key, value in rest.items())
    counts = f"{report['done']} of {report['total']}" if numbers else ""
    tail = f" ({counts})" if numbers and not message.startswith(counts) else ""
    return clean(f"{message}{tail}".strip())
