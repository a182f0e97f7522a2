# SPDX-License-Identifier: GPL-2.0-or-later
"""The projects a worker has open: found in a store, loaded once, least recently used ones closed.

A changed project is noticed by its version (see `stores`) and loaded *beside* the old one;
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

from qgis.core import QgsProject

from qgsd.config import Settings
from qgsd.location import PROJECT_SUFFIXES, LocationError
from qgsd.messages import ProjectReload
from qgsd.worker.loading import BrokenProjects, load, uses_databases
from qgsd.worker.stores import ProjectError, Source, Stores, StoreUnavailable

logger = logging.getLogger("qgsd.projects")


@dataclass
class OpenProject:
    """A loaded project. `checked_at` is when its store was last asked for changes (monotonic seconds)."""

    project: QgsProject
    source: Source
    version: str
    checked_at: float
    load_seconds: float
    away: StoreUnavailable | None = None


class Projects:
    """Least-recently-used cache of open projects. `forget(path)` makes QGIS drop what it caches of one."""

    def __init__(self, settings: Settings, forget: Callable[[str], None]) -> None:
        self._settings = settings
        self._forget = forget
        self._stores = Stores(settings)
        self._broken = BrokenProjects()
        self._open: OrderedDict[str, OpenProject] = OrderedDict()

    @property
    def settings(self) -> Settings:
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self._stores.configure(settings)

    def get(self, key: str) -> tuple[QgsProject, float]:
        """The project and the seconds its loading took now (0 when it was open).

        Raises `LocationError`: 403 not allowed, 404 no such project, 422 it does not load,
        503 its store does not answer.
        """
        entry = self._open.get(key)
        now = time.monotonic()
        if entry is not None:
            self._open.move_to_end(key)
            if now - entry.checked_at < self.settings.cache.check_interval:
                if entry.away:
                    raise entry.away
                return entry.project, 0.0
        source = self._stores.locate(key)
        if entry is None:
            entry = self._load(source)
            self._commit(key, entry)
            return entry.project, entry.load_seconds
        entry.checked_at = now
        return self._refreshed(key, entry, source)

    def reload(self, only: str | None) -> list[ProjectReload]:
        """Look at the open projects (or one of them) now and take over what changed."""
        keys = [key for key in self._open if only is None or _same_project(key, only)]
        return [self._reload_one(key) for key in keys]

    # Loading and replacing.

    def _refreshed(self, key: str, entry: OpenProject, source: Source) -> tuple[QgsProject, float]:
        entry.away = None
        try:
            version = source.version()
            if (source.uri, version) == (entry.source.uri, entry.version):
                return entry.project, 0.0
            fresh = self._prepare(source)
        except StoreUnavailable as error:
            if uses_databases(entry.project):
                # Its data are away too, and QGIS would say that there are none (200, no features).
                entry.away = error
                raise
            logger.warning("%s is served as it was: %s", key, error)
            return entry.project, 0.0
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
            source = self._stores.locate(key)
            if (source.uri, source.version()) == (entry.source.uri, entry.version):
                return ProjectReload(key, "unchanged")
            self._commit(key, self._prepare(source))
        except LocationError as error:
            return ProjectReload(key, "kept-old", error.message)
        return ProjectReload(key, "flipped")

    def _prepare(self, source: Source) -> OpenProject:
        return self._load(source)

    def _commit(self, key: str, entry: OpenProject) -> None:
        self._forget(entry.source.uri)
        self._open[key] = entry
        self._open.move_to_end(key)
        while len(self._open) > self.settings.cache.size:
            closed, _ = self._open.popitem(last=False)
            logger.debug("%s closed, cache.size is %d", closed, self.settings.cache.size)

    def _load(self, source: Source) -> OpenProject:
        version = source.version()
        self._broken.raise_known(source.uri, version, self.settings.cache.broken_ttl)
        started = time.monotonic()
        try:
            project = load(source, self.settings.cache)
        except ProjectError as error:
            self._broken.remember(source.uri, version, error)
            raise
        seconds = time.monotonic() - started
        logger.info("%s loaded in %.0f ms", source.key, 1000 * seconds)
        return OpenProject(project, source, version, time.monotonic(), seconds)


def _same_project(key: str, wanted: str) -> bool:
    stem = {os.path.splitext(name)[0] if name.endswith(PROJECT_SUFFIXES) else name for name in (key, wanted)}
    return len(stem) == 1
