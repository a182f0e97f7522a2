# SPDX-License-Identifier: GPL-2.0-or-later
"""The pidfile: who the master of an instance is. Its lock, not its content, says that it lives.

A lock ends with its process, also with SIGKILL, so a stale file is no obstacle to a new start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import TextIO

from qgsd.control import locate
from qgsd.errors import StartError

# Someone who merely looks whether the instance lives holds a shared lock for an instant.
_PATIENCE = 0.5


class PidFile:
    """The locked pidfile of this process, with the directory of its sockets and temporary files beside it."""

    def __init__(self, path: Path) -> None:
        """Raises `StartError` when the instance runs already or the file cannot be written."""
        self.path = path
        self._lock()
        self.directory = locate.run_directory_of(path)
        self._fresh_directory()

    def _lock(self) -> None:
        patience = time.monotonic() + _PATIENCE
        while True:
            self._file = _open(self.path)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                if time.monotonic() < patience:
                    time.sleep(0.02)
                    continue
                pid = locate.read_pidfile(self.path).pid
                raise StartError(
                    f"this instance runs already (pid {pid}, pidfile {self.path}); "
                    "stop it with `qgsd stop`, or start another with --instance NAME"
                ) from None
            if _is_at(self._file, self.path):
                return
            # The lock of a file that its owner removed between our opening and locking it means nothing.
            self._file.close()

    def _fresh_directory(self) -> None:
        """What a killed predecessor left behind goes: sockets, temporary files."""
        try:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir()
            # Children that run as another user must get through, whatever the umask of a daemon.
            self.directory.chmod(0o711)
        except OSError as error:
            self.remove()
            raise StartError(f"cannot use {self.directory}: {error.strerror}") from error

    def write(self, control: str) -> None:
        """Say who we are and where commands are taken."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n{control}\n")
        self._file.flush()

    def remove(self) -> None:
        """Leave nothing behind, but leave alone what a successor has put in its place."""
        if self._file.closed:
            return
        if _is_at(self._file, self.path) or not self.path.exists():
            shutil.rmtree(self.directory, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        self._file.close()


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="utf-8")
    except OSError as error:
        raise StartError(f"cannot write the pidfile {path}: {error.strerror}") from error
