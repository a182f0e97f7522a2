# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging: children write lines with a priority to stderr, the master writes the log.

A child's stderr is a pipe to the master. Its own records carry the priority in front
as journald reads it, `<6>text` (sd-daemon(3)); whatever else appears there, from GDAL,
Qt or a crashing interpreter, has none and is taken as a warning. So one process writes
the log, what a child said last before it died is not lost, and rotation concerns one.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import os
import re
import sys
import termios

from qgsd.log_file import LogFile

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LEVELS = {priority: level for level, priority in _PRIORITIES.items()} | {5: logging.INFO, 0: 50, 1: 50}
_PREFIX = re.compile(r"<([0-7])>")
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def level_number(name: str) -> int:
    """The number of a level of `logging.level`."""
    return logging.getLevelNamesMapping()[name.upper()]


# Begins a line that says about which request the lines before it are.
MARK = "<=>"
_STDERR = 2
_subject = ""
# How many bytes of what was said the master has yet to read.
_unread = array.array("i", [0])


def about(request_id: str) -> None:
    """What this process says from now on is about this request. For who serves one at a time."""
    global _subject
    _subject = f"[{request_id}] "


def settle(request_id: str) -> None:
    """The request is over. If the master has yet to read what was said, tell it what that was about."""
    global _subject
    _subject = ""
    try:
        fcntl.ioctl(_STDERR, termios.FIONREAD, _unread)
    except OSError:
        return
    if _unread[0]:
        with contextlib.suppress(OSError):
            os.write(_STDERR, f"{MARK}{request_id}\n".encode())


class _PriorityFormatter(logging.Formatter):
    """Each line of a record behind its priority, so that a traceback stays one severity."""

    def format(self, record: logging.LogRecord) -> str:
        front = f"<{_PRIORITIES.get(record.levelno, 6)}>{_subject}"
        return "\n".join(front + line for line in super().format(record).splitlines())


def log_to_master(level: str) -> None:
    """Set up logging in a child."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PriorityFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=level_number(level), force=True)


def parse_line(line: str) -> tuple[int, str, bool]:
    """Level and text of a line of a child's stderr, and whether it is a record; all else is a warning."""
    match = _PREFIX.match(line)
    if match is None:
        return logging.WARNING, line, False
    return _LEVELS[int(match[1])], line[match.end() :], True


class _FileHandler(logging.Handler):
    """To a `LogFile`. What cannot be written is lost: the master must not fail for it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.file = LogFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with contextlib.suppress(OSError):
                self.file.write(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        super().close()
        self.file.close()


class MasterLog:
    """The master's log: stderr, or a file that can be opened anew after it was moved away."""

    def __init__(self, level: str, path: str) -> None:
        """OSError when the file cannot be opened."""
        self._file = _FileHandler(path) if path else None
        handler = self._file or logging.StreamHandler(sys.stderr)
        to_journal = self._file is None and is_journal(2)
        # The journal knows the time itself.
        handler.setFormatter(
            _PriorityFormatter("%(name)s: %(message)s") if to_journal else logging.Formatter(_FORMAT)
        )
        logging.basicConfig(handlers=[handler], level=level_number(level), force=True)

    def reopen(self) -> None:
        """Write to a new file of the same name."""
        if self._file is not None:
            self._file.file.reopen()


def is_journal(descriptor: int) -> bool:
    """Whether journald reads what is written there: a stream may have been redirected (systemd.exec(5))."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def set_level(level: str) -> None:
    """Change the level of the running process."""
    logging.getLogger().setLevel(level_number(level))
