# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects in files below the root folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from qgis.core import QgsProject

from qgsd.config import Settings
from qgsd.location import PROJECT_SUFFIXES, Location, LocationError


class FileStore:
    """Finds, tells apart and reads project files."""

    def __init__(self, settings: Settings) -> None:
        self.root = Path(os.path.realpath(settings.cache.rootdir or "."))
        self._digests: dict[str, tuple[tuple[int, int, int], str]] = {}

    def resolve(self, key: str) -> str:
        """The file of a location; never one outside the root, whatever links lead there."""
        location = Location(key)
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
                return str(real)
        raise LocationError(404, "no_project", f"there is no project '{location.path}'")

    def version(self, source: str) -> str | None:
        """A digest of the content, so that it is the same on every machine; None when there is no file."""
        try:
            status = os.stat(source)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._digests.get(source)
            if known is None or known[0] != stamp:
                digest = hashlib.blake2b(Path(source).read_bytes(), digest_size=16).hexdigest()
                known = self._digests[source] = (stamp, digest)
        except OSError:
            return None
        return known[1]

    def read(self, project: QgsProject, source: str) -> None:
        from qgsd.worker.projects import ProjectError

        name = os.path.basename(source)
        try:
            loaded = project.read(source)
        except Exception as error:
            raise ProjectError(f"'{name}' does not load: {error}") from error
        if not loaded:
            reason = project.error().replace(os.path.dirname(source) + os.sep, "") or "it is no QGIS project"
            raise ProjectError(f"'{name}' does not load: {reason}")
