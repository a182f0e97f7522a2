# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of the projects that are served, for when something else stands in their place.

A project that does not load any more where it is stored stays in service in the version before. A worker
that starts then has to load that version from somewhere. All workers of a machine share the copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from qgis.core import QgsProject

from qgsd.config import CacheSettings
from qgsd.location import LocationError
from qgsd.worker.loading import load
from qgsd.worker.stores import ProjectError, Source
from qgsd.worker.stores.base import Copying
from qgsd.worker.stores.content import read_copy, suffix_of

# Versions of one project that are kept: the one in service, and one that is on its way.
_KEPT = 2


class Snapshots:
    """Files in `folder`, which the master removes at its end, one for each version of a project."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, source: Source, version: str) -> None:
        """Keep the content of that version, which is there now. A full disk is no reason to fail."""
        if not isinstance(source.store, Copying) or self._find(source, version):
            return
        with contextlib.suppress(OSError, LocationError):
            content = source.store.content(source.uri)
            if content is not None and source.version() == version:
                self._write(self._stem(source, version), content)

    def load(self, source: Source, version: str, settings: CacheSettings) -> QgsProject | None:
        """The project at that version, as if it were still in its place; None if there is no such copy."""
        kept = self._find(source, version)
        if kept is None or not isinstance(source.store, Copying):
            return None
        folder = source.store.folder(source.uri)

        def read(project: QgsProject, flags: Any) -> None:
            read_copy(project, str(kept), source.uri, folder, flags, source.key)

        try:
            return load(source, settings, read)
        except ProjectError:
            return None

    def _stem(self, source: Source, version: str) -> Path:
        """Without suffix: that is the content's."""
        return self._folder / _digest(source.uri) / _digest(version)

    def _find(self, source: Source, version: str) -> Path | None:
        stem = self._stem(source, version)
        return next((path for path in map(stem.with_suffix, (".qgs", ".qgz")) if path.exists()), None)

    def _write(self, stem: Path, content: bytes) -> None:
        stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = stem.with_name(f"{os.getpid()}.part")
        try:
            fresh.touch(mode=0o600)
            fresh.write_bytes(content)
            fresh.replace(stem.with_suffix(suffix_of(content)))
        finally:
            fresh.unlink(missing_ok=True)
        versions = sorted(stem.parent.glob("*.qg?"), key=lambda path: path.stat().st_mtime_ns)
        for old in versions[:-_KEPT]:
            old.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
