# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging: children write lines with a priority to stderr, the master writes the log.

A child's stderr is a pipe to the master. Its own records carry the priority in front
as journald reads it, `<6>text` (sd-daemon(3)); whatever else appears there, from GDAL,
Qt or a crashing interpreter, has none and is taken as a warning. So one process writes
the log, what a child said last before it died is not lost, and rotation concerns one.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LEVELS = {priority: level for level, priority in _PRIORITIES.items()} | {5: logging.INFO, 0: 50, 1: 50}
_PREFIX = re.compile(r"<([0-7])>")
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def level_number(name: str) -> int:
    """The number of a level of `logging.level`."""
    return logging.getLevelNamesMapping()[name.upper()]


class _PriorityFormatter(logging.Formatter):
    """Each line of a record behind its priority, so that a traceback stays one severity."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def log_to_master(level: str) -> None:
    """Set up logging in a child."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PriorityFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=level_number(level), force=True)


def parse_line(line: str) -> tuple[int, str]:
    """A line of a child's stderr as level and text; without a priority it is a warning."""
    match = _PREFIX.match(line)
    if match is None:
        return logging.WARNING, line
    return _LEVELS[int(match[1])], line[match.end() :]


class MasterLog:
    """The master's log: stderr, or a file that can be opened anew after it was moved away."""

    def __init__(self, level: str, path: str) -> None:
        """OSError when the file cannot be opened."""
        self._path = path
        if path:
            self._handler: logging.StreamHandler = logging.handlers.WatchedFileHandler(path)  # type: ignore[type-arg]
            formatter: logging.Formatter = logging.Formatter(_FORMAT)
        else:
            self._handler = logging.StreamHandler(sys.stderr)
            under_journald = "JOURNAL_STREAM" in os.environ
            formatter = (
                _PriorityFormatter("%(name)s: %(message)s") if under_journald else logging.Formatter(_FORMAT)
            )
        self._handler.setFormatter(formatter)
        logging.basicConfig(handlers=[self._handler], level=level_number(level), force=True)

    def reopen(self) -> None:
        """Write to a new file of the same name."""
        if isinstance(self._handler, logging.handlers.WatchedFileHandler):
            self._handler.reopenIfNeeded()


def set_level(level: str) -> None:
    """Change the level of the running process."""
    logging.getLogger().setLevel(level_number(level))
