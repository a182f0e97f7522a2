# SPDX-License-Identifier: GPL-2.0-or-later
"""An answer on its way to a slow client: in memory up to a bound, then in a temporary file.

Workers are read at full speed so that they are free for the next request; how long the
client takes is nobody's concern but the http child's. Only when the file is at its bound
too, or the disk is full, must the worker be held.
"""

from __future__ import annotations

import logging
import tempfile
from collections import deque
from dataclasses import dataclass
from typing import IO

logger = logging.getLogger("qgsd.http")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of one answer kept in memory, and in a file beyond that."""

    memory: int
    file: int


@dataclass(frozen=True, slots=True)
class _OnDisk:
    offset: int
    length: int


class Spool:
    """Pieces of bytes, first in, first out.

    >>> spool = Spool(Bounds(memory=4, file=100))
    >>> for piece in (b"abcd", b"efgh"): spool.put(piece)
    >>> spool.get(), spool.get(), spool.full
    (b'abcd', b'efgh', False)
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._pieces: deque[bytes | _OnDisk] = deque()
        self._in_memory = 0
        self._on_disk = 0
        self._end = 0
        self._file: IO[bytes] | None = None
        self._disk_full = False
        self._refused = False

    @property
    def full(self) -> bool:
        """Nothing more should come until half of it has been taken. What comes nevertheless is kept."""
        return self._refused

    def put(self, piece: bytes) -> None:
        # Once pieces are on disk all later ones go there too, unless it has been read empty.
        beyond = self._in_memory + len(piece) > self._bounds.memory and bool(self._pieces)
        if beyond or self._on_disk:
            if self._write(piece):
                return
            self._refused = True
        self._pieces.append(piece)
        self._in_memory += len(piece)

    def _write(self, piece: bytes) -> bool:
        if self._disk_full or self._on_disk + len(piece) > self._bounds.file:
            return False
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="qgsd-spool-")  # noqa: SIM115 - lives with the answer
            self._file.seek(self._end)
            self._file.write(piece)
            self._file.flush()
        except OSError as error:
            logger.warning("an answer cannot be spooled to disk, its worker must wait: %s", error)
            self._disk_full = True
            return False
        self._pieces.append(_OnDisk(self._end, len(piece)))
        self._end += len(piece)
        self._on_disk += len(piece)
        return True

    def get(self) -> bytes:
        """The oldest piece. IndexError when there is none."""
        piece = self._pieces.popleft()
        if isinstance(piece, bytes):
            self._in_memory -= len(piece)
            data = piece
        else:
            data = self._read(piece)
        if self._on_disk <= self._bounds.file // 2 and self._in_memory <= self._bounds.memory:
            self._refused = False
        return data

    def _read(self, piece: _OnDisk) -> bytes:
        assert self._file is not None
        self._file.seek(piece.offset)
        data = self._file.read(piece.length)
        self._on_disk -= piece.length
        if self._on_disk == 0:
            # Read empty: the space is given back, and memory serves again.
            self._end = 0
            self._file.truncate(0)
        return data

    def close(self) -> None:
        """Free everything; the file is nameless and goes with its descriptor."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
