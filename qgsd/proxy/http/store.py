# SPDX-License-Identifier: GPL-2.0-or-later
"""Where answers are kept: in this process up to a bound, and on disk for all http children of the machine.

A hit in memory costs microseconds. What is not there is looked for on disk, in a thread, because a disk may
be slow; what memory has no room for any more is found there again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from pathlib import Path

import diskcache
import msgspec
from cachetools import LRUCache
from msgspec import Struct

from qgsd.messages import Headers
from qgsd.proxy.http import coding, conditions

logger = logging.getLogger("qgsd.http")

# What an entry takes beside its bodies.
_OVERHEAD = 1000
# Seconds after which what nobody can ask for any more goes from the disk, if not sooner for want of room.
_FORGET = 86400.0
# Seconds that the disk is left alone after an error.
_PAUSE = 10.0


class Kept(Struct, weakref=True):
    """An answer of status 200, whole. `expires`: seconds of CLOCK_MONOTONIC, 0 for never."""

    headers: Headers
    body: bytes
    etag: str
    expires: float
    codings: dict[str, bytes] = {}

    @classmethod
    def of(cls, headers: Headers, body: bytes, seconds: float) -> Kept:
        tag = next((value for name, value in headers if name.lower() == "etag"), "")
        expires = time.monotonic() + seconds if seconds else 0.0
        return cls(headers, body, tag or conditions.etag_of(body), expires)

    @property
    def is_fresh(self) -> bool:
        return not self.expires or time.monotonic() < self.expires

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.body) + sum(map(len, self.codings.values()))

    async def encoded(self, how: str) -> bytes:
        """The body in a coding, compressed once."""
        if not how:
            return self.body
        if how not in self.codings:
            self.codings[how] = await coding.compressed(self.body, how)
        return self.codings[how]


class _RawDisk(diskcache.Disk):  # type: ignore[misc]
    """Bytes by text only. Nothing that is read is ever unpickled."""

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> object:
        if mode == diskcache.core.MODE_PICKLE:
            raise ValueError("what is on disk is not of qgsd")
        return super().fetch(mode, filename, value, read)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode
_TROUBLE = (OSError, sqlite3.Error, ValueError, msgspec.MsgspecError, diskcache.Timeout)


class Store:
    """`folder`: shared by the http children of an instance; `disk` bytes there, 0 for none."""

    def __init__(self, memory: int, folder: str, disk: int) -> None:
        self._memory: LRUCache[str, Kept] = LRUCache(max(1, memory), getsizeof=lambda kept: kept.size)
        self._disk: diskcache.Cache | None = None
        self._resting_until = 0.0
        if folder and disk:
            try:
                self._disk = diskcache.Cache(
                    folder, size_limit=disk, disk=_RawDisk, disk_min_file_size=65536, timeout=1.0,
                    eviction_policy="least-recently-stored", tag_index=True,
                )  # fmt: skip
            except _TROUBLE as error:
                logger.warning("answers are kept in memory only, %s cannot be used: %s", Path(folder), error)

    def resize(self, memory: int) -> None:
        """Another bound for memory; what is there goes."""
        if memory != self._memory.maxsize:
            self._memory = LRUCache(max(1, memory), getsizeof=lambda kept: kept.size)

    def at_hand(self, key: str) -> Kept | None:
        """What is in memory."""
        kept = self._memory.get(key)
        if kept is None or kept.is_fresh:
            return kept
        del self._memory[key]
        return None

    async def find(self, key: str) -> Kept | None:
        """What is in memory or on disk."""
        kept = self.at_hand(key)
        if kept is not None or self._disk is None or time.monotonic() < self._resting_until:
            return kept
        kept = await asyncio.to_thread(self._read, key)
        if kept is not None:
            self._remember(key, kept)
        return kept

    def _remember(self, key: str, kept: Kept) -> None:
        if kept.size <= self._memory.maxsize:
            self._memory[key] = kept

    def weigh(self, key: str, kept: Kept) -> None:
        """It has become larger."""
        if self._memory.get(key) is kept:
            del self._memory[key]
            self._remember(key, kept)

    async def keep(self, key: str, project: str, kept: Kept) -> None:
        self._remember(key, kept)
        if self._disk is not None and time.monotonic() >= self._resting_until:
            await asyncio.to_thread(self._write, key, project, kept)

    async def drop(self, projects: list[str]) -> None:
        """Free what is on disk of these projects; their stamps are others now."""
        if self._disk is not None:
            await asyncio.to_thread(self._drop, projects)

    # In a thread.

    def _read(self, key: str) -> Kept | None:
        assert self._disk is not None
        try:
            data = self._disk.get(key)
            kept = _decode(data) if data is not None else None
        except _TROUBLE as error:
            self._trouble(error)
            return None
        return kept if kept is not None and kept.is_fresh else None

    def _write(self, key: str, project: str, kept: Kept) -> None:
        assert self._disk is not None
        seconds = kept.expires - time.monotonic() if kept.expires else _FORGET
        try:
            bare = msgspec.structs.replace(kept, codings={})
            self._disk.set(key, _encode(bare), expire=max(1.0, seconds), tag=project)
        except _TROUBLE as error:
            self._trouble(error)

    def _drop(self, projects: list[str]) -> None:
        assert self._disk is not None
        try:
            for project in projects:
                self._disk.evict(project)
        except _TROUBLE as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        self._resting_until = time.monotonic() + _PAUSE
        logger.warning("answers cannot be kept on disk just now: %s", error)
