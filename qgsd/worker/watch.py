# SPDX-License-Identifier: GPL-2.0-or-later
"""Noticing that an open project has another content now where it is stored."""

from __future__ import annotations

import logging
import os
import queue
import threading
from dataclasses import dataclass

from qgsd.location import LocationError
from qgsd.worker.stores import Source, Store
from qgsd.worker.stores.base import Batching, Version

logger = logging.getLogger("qgsd.projects")

_SHORTEST = 0.1


@dataclass
class _Watched:
    source: Source
    version: str
    missing: bool = False
    away: LocationError | None = None


def _versions(store: Store, sources: list[Source]) -> dict[str, Version]:
    """By key, of one store; nothing of what cannot be told."""
    found: dict[str, Version] = {}
    try:
        if isinstance(store, Batching):
            versions = store.versions([source.uri for source in sources])
            return {source.key: versions[source.uri] for source in sources}
        for source in sources:
            try:
                found[source.key] = store.version(source.uri)
            except LocationError as error:
                found[source.key] = error
    except Exception:
        # A store of another package; it must not end the watch over the others.
        logger.exception("the store of %s fails", sources[0].key)
    return found


class ChangeWatch:
    """A thread that asks for the versions of open projects, since a store may take long to answer.

    Asking works for every store and file system, network ones too, where notification does not.
    `interval` in seconds. Readable on `fileno()` when there is something to `take`.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._changes: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake = threading.Event()
        threading.Thread(target=self._run, name="change watch", daemon=True).start()

    def fileno(self) -> int:
        return self._reader

    def watch(self, key: str, source: Source, version: str) -> None:
        """From now on tell when this project is not of this version any more."""
        with self._lock:
            self._watched[key] = _Watched(source, version)

    def unwatch(self, key: str) -> None:
        with self._lock:
            self._watched.pop(key, None)

    def look_now(self) -> None:
        """Do not wait for the next turn."""
        self._wake.set()

    def unavailable(self, key: str) -> LocationError | None:
        """Why the store of a project does not answer, if it does not."""
        with self._lock:
            one = self._watched.get(key)
        return one.away if one else None

    def take(self) -> list[tuple[str, str]]:
        """Projects that have changed, each with its new version, empty when it is gone."""
        os.read(self._reader, 4096)
        changes = []
        while not self._changes.empty():
            changes.append(self._changes.get())
        return changes

    def _run(self) -> None:
        while True:
            self._wake.wait(max(_SHORTEST, self.interval))
            self._wake.clear()
            with self._lock:
                watched = list(self._watched.items())
            by_store: dict[int, list[_Watched]] = {}
            for _, one in watched:
                by_store.setdefault(id(one.source.store), []).append(one)
            found: dict[str, Version] = {}
            for some in by_store.values():
                found |= _versions(some[0].source.store, [one.source for one in some])
            for key, one in watched:
                if key in found:
                    self._judge(key, one, found[key])

    def _judge(self, key: str, one: _Watched, version: Version) -> None:
        if isinstance(version, LocationError):
            # A store that cannot be asked now says nothing of its projects.
            one.away = version
            return
        one.away = None
        if version is None and not one.missing:
            # It may be about to be replaced: it is gone when it is not there the second time either.
            one.missing = True
            return
        one.missing = version is None
        if (version or "") != one.version:
            one.version = version or ""
            self._changes.put((key, one.version))
            os.write(self._writer, b"!")
