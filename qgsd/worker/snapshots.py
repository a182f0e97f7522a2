# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of the project files that are served, for when something else stands in their place.

A project whose file does not load any more stays in service in the version before. A worker that
starts then has to load that version from somewhere. All workers of a machine share the copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qgis.core import QgsPathResolver, QgsProject

from qgsd.config import CacheSettings
from qgsd.location import PROJECT_SUFFIXES
from qgsd.worker.loading import load
from qgsd.worker.stores import ProjectError, Source

# Versions of one project that are kept: the one in service, and one that is on its way.
_KEPT = 2


class Snapshots:
    """Files in `folder`, which the master removes at its end, one for each version of a project.

    Only of projects that are files: what other stores hold is not ours to copy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, source: Source, version: str) -> None:
        """Keep the content of that version, which is there now. A full disk is no reason to fail."""
        kept = self._path(source, version)
        if kept is None or kept.exists():
            return
        with contextlib.suppress(OSError):
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = kept.with_name(f"{os.getpid()}.part")
            shutil.copyfile(source.uri, fresh)
            if source.version() == version:
                fresh.replace(kept)
            fresh.unlink(missing_ok=True)
            self._forget_older(kept)

    def load(self, source: Source, version: str, settings: CacheSettings) -> QgsProject | None:
        """The project at that version, as if it were still in its place; None if there is no such copy."""
        kept = self._path(source, version)
        if kept is None or not kept.exists():
            return None
        try:
            with _as_if_in(Path(source.uri).parent):
                project = load(Source(source.key, source.store, str(kept)), settings)
        except ProjectError:
            return None
        # QGIS's caches, and what is relative from now on, go by the name.
        project.setFileName(source.uri)
        return project

    def _path(self, source: Source, version: str) -> Path | None:
        suffix = os.path.splitext(source.uri)[1]
        if not os.path.isabs(source.uri) or suffix not in PROJECT_SUFFIXES:
            return None
        name = hashlib.blake2b(source.uri.encode(), digest_size=12).hexdigest()
        return self._folder / name / f"{version}{suffix}"

    @staticmethod
    def _forget_older(kept: Path) -> None:
        versions = sorted(kept.parent.glob("*.qg?"), key=lambda path: path.stat().st_mtime_ns)
        for old in versions[:-_KEPT]:
            old.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_if_in(folder: Path) -> Iterator[None]:
    """Let QGIS resolve relative paths of a project from there (QgsPathResolver.setPathPreprocessor)."""

    def absolute(path: str) -> str:
        return os.path.normpath(folder / path) if path.startswith(("./", "../")) else path

    # The stubs do not know that the function returns the path.
    handle = QgsPathResolver.setPathPreprocessor(absolute)  # type: ignore[arg-type]
    try:
        yield
    finally:
        QgsPathResolver.removePathPreprocessor(handle)
