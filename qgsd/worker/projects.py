# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects a worker has open: found below the root, loaded once, least recently used ones closed.

A changed file is noticed by its version (time, size, inode) and loaded *beside* the old one;
only a version that loads takes over. That is where the later transaction over all workers
(prepare, commit, release) has its place: `_prepare` and `_commit` are apart already.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsMapLayer, QgsProject

from qgsd.config import Settings
from qgsd.location import PROJECT_SUFFIXES, Location, LocationError
from qgsd.messages import ProjectReload

logger = logging.getLogger("qgsd.projects")

Version = tuple[int, int, int]


@dataclass
class OpenProject:
    """A loaded project. `checked_at` is when its file was last looked at (monotonic seconds)."""

    project: QgsProject
    path: Path
    version: Version
    checked_at: float
    load_seconds: float


class ProjectError(LocationError):
    """The project exists but cannot be served: answered 422."""

    def __init__(self, message: str) -> None:
        super().__init__(422, "broken_project", message)


class Projects:
    """Least-recently-used cache of open projects. `forget(path)` makes QGIS drop what it caches of one."""

    def __init__(self, settings: Settings, forget: Callable[[str], None]) -> None:
        self.settings = settings
        self._forget = forget
        self._open: OrderedDict[str, OpenProject] = OrderedDict()

    @property
    def root(self) -> Path:
        return Path(os.path.realpath(self.settings.cache.rootdir or "."))

    def get(self, key: str) -> tuple[QgsProject, float]:
        """The project and the seconds its loading took now (0 when it was open).

        Raises `LocationError`: 403 outside the root, 404 no such file, 422 it does not load.
        """
        entry = self._open.get(key)
        now = time.monotonic()
        if entry is not None:
            self._open.move_to_end(key)
            if now - entry.checked_at < self.settings.cache.check_interval:
                return entry.project, 0.0
        path = self.find(Location(key))
        if entry is None:
            entry = self._load(path)
            self._commit(key, entry)
            return entry.project, entry.load_seconds
        entry.checked_at = now
        return self._refreshed(key, entry, path)

    def find(self, location: Location) -> Path:
        """The file of a location; never one outside the root, whatever links lead there."""
        root = self.root
        named = Path(location.path) if os.path.isabs(location.path) else root / location.path
        candidates = [named] if named.suffix in PROJECT_SUFFIXES else []
        candidates += [named.with_name(named.name + suffix) for suffix in PROJECT_SUFFIXES]
        for candidate in candidates:
            real = Path(os.path.realpath(candidate))
            if not real.is_relative_to(root):
                raise LocationError(403, "outside_root", "MAP lies outside the root folder of projects")
            # Not Path.is_file, which raises for a name that is too long.
            if os.path.isfile(real):
                return real
        raise LocationError(404, "no_project", f"there is no project '{location.path}'")

    def reload(self, only: str | None) -> list[ProjectReload]:
        """Look at the open projects (or one of them) now and take over what changed."""
        keys = [key for key in self._open if only is None or _same_project(key, only)]
        return [self._reload_one(key) for key in keys]

    # Loading and replacing.

    def _refreshed(self, key: str, entry: OpenProject, path: Path) -> tuple[QgsProject, float]:
        # Of before the attempt: a file that is complete a moment after it must be tried again.
        version = _version(path)
        if (path, version) == (entry.path, entry.version):
            return entry.project, 0.0
        try:
            fresh = self._prepare(path)
        except ProjectError as error:
            logger.warning("%s has changed and does not load, the old version stays: %s", key, error)
            entry.version = version
            return entry.project, 0.0
        self._commit(key, fresh)
        return fresh.project, fresh.load_seconds

    def _reload_one(self, key: str) -> ProjectReload:
        entry = self._open[key]
        entry.checked_at = time.monotonic()
        try:
            path = self.find(Location(key))
            if (path, _version(path)) == (entry.path, entry.version):
                return ProjectReload(key, "unchanged")
            self._commit(key, self._prepare(path))
        except LocationError as error:
            return ProjectReload(key, "kept-old", error.message)
        return ProjectReload(key, "flipped")

    def _prepare(self, path: Path) -> OpenProject:
        return self._load(path)

    def _commit(self, key: str, entry: OpenProject) -> None:
        self._forget(str(entry.path))
        self._open[key] = entry
        self._open.move_to_end(key)
        while len(self._open) > self.settings.cache.size:
            closed, _ = self._open.popitem(last=False)
            logger.debug("%s closed, cache.size is %d", closed, self.settings.cache.size)

    def _load(self, path: Path) -> OpenProject:
        version = _version(path)
        started = time.monotonic()
        project = QgsProject()
        try:
            loaded = project.read(str(path))
        except Exception as error:
            raise ProjectError(f"'{path.name}' does not load: {error}") from error
        if not loaded:
            reason = project.error().replace(str(path.parent) + os.sep, "") or "it is no QGIS project"
            raise ProjectError(f"'{path.name}' does not load: {reason}")
        if self.settings.cache.strict_check:
            _refuse_invalid_layers(project, path)
        seconds = time.monotonic() - started
        logger.info("%s loaded in %.0f ms", path.name, 1000 * seconds)
        return OpenProject(project, path, version, time.monotonic(), seconds)


def _same_project(key: str, wanted: str) -> bool:
    stem = {os.path.splitext(name)[0] if name.endswith(PROJECT_SUFFIXES) else name for name in (key, wanted)}
    return len(stem) == 1


def _version(path: Path) -> Version:
    try:
        status = path.stat()
    except OSError as error:
        raise LocationError(
            404, "no_project", f"the project '{path.name}' has gone: {error.strerror}"
        ) from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _refuse_invalid_layers(project: QgsProject, path: Path) -> None:
    invalid = [layer for layer in project.mapLayers().values() if not layer.isValid()]
    if invalid:
        reasons = "; ".join(f"{layer.name()}: {_why_invalid(layer)}" for layer in invalid)
        raise ProjectError(f"'{path.name}' has invalid layers: {reasons}")


def _why_invalid(layer: QgsMapLayer) -> str:
    """QGIS's reason, where it has one. Never the source itself, which may hold a password."""
    error = layer.error()
    # The summary of an empty QgsError reads behind the end of a list and crashes (seen with QGIS 3.22).
    return "its data source cannot be opened" if error.isEmpty() else str(error.summary())
