# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that several processes append lines to, and that people move away while they do.

Not logging's WatchedFileHandler: that looks at the file before each line, and raises out of whoever wrote
the line when the folder has gone or must not be written to. Nobody shall fail for want of a log.
"""

from __future__ import annotations

import os
import time

# Seconds between two looks whether the file is still there, for those who move it without a word (SIGUSR1).
_LOOK = 1.0


class LogFile:
    """Lines appended to a file; in one piece, so that those of several processes do not mix."""

    def __init__(self, path: str) -> None:
        """OSError when the file cannot be opened."""
        self.path = path
        self._descriptor = _open(path)
        self._looked = time.monotonic()

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def write(self, lines: bytes) -> None:
        """OSError when they cannot be written; another file may well take the next ones."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            if self._has_moved():
                self.reopen()
        write_all(self._descriptor, lines)

    def reopen(self) -> None:
        """Go on in a new file of the same name. While there cannot be one, the old one is written to."""
        try:
            fresh = _open(self.path)
        except OSError:
            return
        os.close(self._descriptor)
        self._descriptor = fresh

    def _has_moved(self) -> bool:
        try:
            there, ours = os.stat(self.path), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def close(self) -> None:
        os.close(self._descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Raises OSError."""
    while written := os.write(descriptor, data):
        data = data[written:]
        if not data:
            return


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
