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

from qgis.core import QgsMapLayer, QgsProject

from qgsd.config import Settings
from qgsd.location import LocationError
from qgsd.messages import ProjectLoaded
from qgsd.worker.files import FileStore

logger = logging.getLogger("qgsd.projects")

_PAGE = os.sysconf("SC_PAGE_SIZE")
# A project that is written while it is read is read again so many times.
_ATTEMPTS = 3


@dataclass
class Copy:
    """A loaded project: `version` of its content, seconds and bytes that loading took."""

    project: QgsProject
    source: str
    version: str
    seconds: float
    memory: int


class ProjectError(LocationError):
    """The project exists but cannot be served: answered 422. `version` is that of the content found."""

    def __init__(self, message: str, version: str = "") -> None:
        super().__init__(422, "broken_project", message)
        self.version = version


class WrongVersion(Exception):
    """The content is not the one that was asked for, but `version`."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version


class Projects:
    """See the module's text. `forget(source)` makes QGIS drop what it caches of a project by its name.

    `opened(key, source, version)` and `closed(key)` are told of what is open.
    """

    def __init__(
        self,
        settings: Settings,
        forget: Callable[[str], None],
        opened: Callable[[str, str, str], None],
        closed: Callable[[str], None],
    ) -> None:
        self._forget = forget
        self._opened = opened
        self._closed = closed
        self._open: OrderedDict[str, dict[int, Copy]] = OrderedDict()
        # By source: the copy that QGIS's own caches are of.
        self._current: dict[str, Copy] = {}
        self._pinned: frozenset[str] = frozenset()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self.store = FileStore(settings)

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
        if self._current.get(copy.source) is not copy:
            self._current[copy.source] = copy
            self._forget(copy.source)
        return copy.project

    def load(self, key: str, generation: int, version: str = "", unless: str | None = None) -> ProjectLoaded:
        """Open what is there now as this generation; the content must be of `version`, if given.

        It is not loaded when it is of the version `unless`. Failure is told in the result.
        Raises `WrongVersion`.
        """
        copy: Copy | None = None
        try:
            source = self._source(key, wanted=version)
            copy = self._read_consistently(source, version, unless)
        except LocationError as error:
            return ProjectLoaded(
                key,
                generation,
                "gone" if error.status == 404 else "failed",
                error.version if isinstance(error, ProjectError) else "",
                error=error.message,
                status=error.status,
                code=error.code,
            )
        if copy is None:
            return ProjectLoaded(key, generation, "unchanged", unless or "")
        self._add(key, generation, copy)
        return ProjectLoaded(key, generation, "loaded", copy.version, copy.seconds, copy.memory)

    def _source(self, key: str, *, wanted: str) -> str:
        try:
            return self.store.resolve(key)
        except LocationError as error:
            if wanted and error.status == 404:
                # Others still serve it; whether it is gone for good is not for one worker to say.
                raise WrongVersion("") from error
            raise

    def _read_consistently(self, source: str, wanted: str, unless: str | None) -> Copy | None:
        for _ in range(_ATTEMPTS):
            version = self.store.version(source)
            if wanted and version != wanted:
                raise WrongVersion(version or "")
            if version is None:
                raise LocationError(404, "no_project", f"the project '{os.path.basename(source)}' has gone")
            if version == unless:
                return None
            copy = self._read(source, version)
            if self.store.version(source) == version:
                return copy
        raise ProjectError(f"'{os.path.basename(source)}' changes all the time while it is read")

    def _read(self, source: str, version: str) -> Copy:
        started, before = time.monotonic(), _private_memory()
        project = QgsProject()
        try:
            self.store.read(project, source)
            if self.settings.cache.strict_check:
                _refuse_invalid_layers(project, source)
        except ProjectError as error:
            error.version = version
            raise
        seconds = time.monotonic() - started
        logger.info("%s loaded in %.0f ms", os.path.basename(source), 1000 * seconds)
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
        if self._current.get(copy.source) is copy:
            del self._current[copy.source]
            self._forget(copy.source)


def _private_memory() -> int:
    """Bytes of this process that it shares with no other (proc(5), statm)."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * _PAGE


def _refuse_invalid_layers(project: QgsProject, source: str) -> None:
    invalid = [layer for layer in project.mapLayers().values() if not layer.isValid()]
    if invalid:
        reasons = "; ".join(f"{layer.name()}: {_why_invalid(layer)}" for layer in invalid)
        # Where the server keeps its files is nobody else's business.
        reasons = reasons.replace(os.path.dirname(source) + os.sep, "")
        raise ProjectError(f"'{os.path.basename(source)}' has invalid layers: {reasons}")


def _why_invalid(layer: QgsMapLayer) -> str:
    """QGIS's reason, where it has one. Never the source itself, which may hold a password."""
    error = layer.error()
    # The summary of an empty QgsError reads behind the end of a list and crashes (seen with QGIS 3.22).
    return "its data source cannot be opened" if error.isEmpty() else str(error.summary())
