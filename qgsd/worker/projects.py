# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects a worker has open, each in one or, while it is replaced, in several generations.

Which generation a request is to run on is the dispatcher's to say (see docs/architecture.md,
"Projects"); here they are found, loaded and closed: least recently used first, when there are
more than cache.size, pinned ones never.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsProject

from qgsd.config import Settings
from qgsd.location import LocationError
from qgsd.messages import Outcome, ProjectLoaded
from qgsd.worker.loading import BrokenProjects, load
from qgsd.worker.snapshots import Snapshots
from qgsd.worker.stores import ProjectError, Source, Stores, StoreUnavailable

logger = logging.getLogger("qgsd.projects")

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A project that is written while it is read is read again so many times.
_ATTEMPTS = 3


@dataclass
class Copy:
    """A loaded project: `version` of its content, seconds and bytes that loading took."""

    project: QgsProject
    source: Source
    version: str
    seconds: float
    memory: int


class WrongVersion(Exception):
    """The content is not the one that was asked for, but `version`; `known` is false if it cannot be had."""

    def __init__(self, version: str, *, known: bool = True) -> None:
        super().__init__(version)
        self.version = version
        self.known = known


@dataclass
class _Attempt:
    """To load the version `wanted` if given, none that is `unless`; `found` is the one that is there."""

    wanted: str
    unless: str | None
    found: str = ""


class Projects:
    """See the module's text. `forget(uri)` makes QGIS drop what it caches of a project by its name.

    `snapshots` is a folder for copies of project files, shared by all workers of the machine.
    `opened(key, source, version)` and `closed(key)` are told of what is open.
    """

    def __init__(
        self,
        settings: Settings,
        snapshots: Path,
        forget: Callable[[str], None],
        opened: Callable[[str, Source, str], None],
        closed: Callable[[str], None],
    ) -> None:
        self._forget = forget
        self._opened = opened
        self._closed = closed
        self._open: OrderedDict[str, dict[int, Copy]] = OrderedDict()
        self._stores = Stores(settings)
        self._snapshots = Snapshots(snapshots)
        self._broken = BrokenProjects()
        # By uri: the copy that QGIS's own caches are of.
        self._current: dict[str, Copy] = {}
        self._pinned: frozenset[str] = frozenset()
        self.settings = settings

    def configure(self, settings: Settings) -> None:
        """Other settings from now on."""
        self.settings = settings
        self._stores.configure(settings)

    def pin(self, keys: Iterable[str]) -> None:
        """These projects, and no others, are not closed to make room."""
        self._pinned = frozenset(keys)

    def overview(self) -> list[ProjectLoaded]:
        """What is open; of several generations of a project the latest."""
        return [
            ProjectLoaded(key, generation, "loaded", copy.version, copy.seconds, copy.memory)
            for key, copies in self._open.items()
            for generation, copy in [max(copies.items())]
        ]

    # For requests.

    def open(self, key: str, generation: int) -> QgsProject | None:
        """The project at this generation, if it is open."""
        copy = self._open.get(key, {}).get(generation)
        if copy is None:
            return None
        self._open.move_to_end(key)
        if self._current.get(copy.source.uri) is not copy:
            self._current[copy.source.uri] = copy
            self._forget(copy.source.uri)
        return copy.project

    def version(self, key: str, generation: int) -> str:
        """Of the content that is open as this generation; empty if it is not."""
        copy = self._open.get(key, {}).get(generation)
        return copy.version if copy else ""

    def load(self, key: str, generation: int, version: str = "", unless: str | None = None) -> ProjectLoaded:
        """Open what is there now as this generation; the content must be of `version`, if given.

        It is not loaded when it is of the version `unless`. Failure is told in the result.
        Raises `WrongVersion`.
        """
        attempt = _Attempt(version, unless)
        try:
            copy = self._read_consistently(key, attempt)
        except LocationError as error:
            if version and not isinstance(error, ProjectError):
                # Others still serve it; whether it is gone for good is not for one worker to say.
                raise WrongVersion("", known=error.status == 404) from error
            return _not_loaded(key, generation, attempt.found, error)
        if copy is None:
            return ProjectLoaded(key, generation, "unchanged", attempt.found)
        self._add(key, generation, copy)
        return ProjectLoaded(key, generation, "loaded", copy.version, copy.seconds, copy.memory)

    def _read_consistently(self, key: str, attempt: _Attempt) -> Copy | None:
        source = self._stores.locate(key)
        for _ in range(_ATTEMPTS):
            attempt.found = source.version()
            if attempt.found == attempt.unless:
                return None
            if attempt.wanted and attempt.found != attempt.wanted:
                return self._read_snapshot(source, attempt)
            copy = self._read(source, attempt.found)
            if source.version() == attempt.found:
                self._snapshots.take(source, attempt.found)
                return copy
        raise ProjectError(f"'{key}' changes all the time while it is read")

    def _read_snapshot(self, source: Source, attempt: _Attempt) -> Copy:
        def read() -> QgsProject:
            project = self._snapshots.load(source, attempt.wanted, self.settings.cache)
            if project is None:
                raise WrongVersion(attempt.found)
            return project

        return self._measured(source, attempt.wanted, read)

    def _read(self, source: Source, version: str) -> Copy:
        self._broken.raise_known(source.uri, version, self.settings.cache.broken_ttl)
        try:
            return self._measured(source, version, lambda: load(source, self.settings.cache))
        except ProjectError as error:
            self._broken.remember(source.uri, version, error)
            raise

    @staticmethod
    def _measured(source: Source, version: str, read: Callable[[], QgsProject]) -> Copy:
        started, before = time.monotonic(), _private_memory()
        project = read()
        seconds = time.monotonic() - started
        logger.info("%s loaded in %.0f ms", source.key, 1000 * seconds)
        return Copy(project, source, version, seconds, max(0, _private_memory() - before))

    # Closing.

    def close(self, key: str, keep: int = 0) -> None:
        """Close the project and its files, but for the generation `keep` (0: all)."""
        copies = self._open.get(key, {})
        for generation in [generation for generation in copies if generation != keep]:
            self._drop(copies.pop(generation))
        if not copies and self._open.pop(key, None) is not None:
            self._closed(key)

    def _add(self, key: str, generation: int, copy: Copy) -> None:
        copies = self._open.setdefault(key, {})
        if generation in copies:
            self._drop(copies[generation])
        copies[generation] = copy
        self._open.move_to_end(key)
        self._opened(key, copy.source, copy.version)

    def make_room(self) -> list[str]:
        """Close what is more than cache.size, the least recently used first; the projects closed."""
        loose = [key for key in self._open if key not in self._pinned]
        surplus = loose[: max(0, len(loose) - self.settings.cache.size)]
        for key in surplus:
            self.close(key)
            logger.debug("%s closed, cache.size is %d", key, self.settings.cache.size)
        return surplus

    def _drop(self, copy: Copy) -> None:
        if self._current.get(copy.source.uri) is copy:
            del self._current[copy.source.uri]
            self._forget(copy.source.uri)


def _private_memory() -> int:
    """Bytes of this process that it shares with no other (proc(5), statm)."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * _PAGE


def _not_loaded(key: str, generation: int, version: str, error: LocationError) -> ProjectLoaded:
    if isinstance(error, StoreUnavailable):
        outcome: Outcome = "away"
    else:
        outcome = "gone" if error.status == 404 else "failed"
    return ProjectLoaded(
        key, generation, outcome, version, error=error.message, status=error.status, code=error.code
    )
