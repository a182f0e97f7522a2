# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects in files, .qgs and .qgz, below the root folders."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from qgis.core import QgsProject

from qgsd.config import Settings
from qgsd.location import Location
from qgsd.roots import Roots
from qgsd.worker.stores.base import StoreUnavailable, read_by_qgis

Stamp = tuple[int, int, int]

# A file changed twice within a tick of the file system's clock looks the same after the second change.
_TICK_NS = 50_000_000


class FileStore:
    """`file:path`. The version is a digest of the content, read only when the file's stamp has changed."""

    def __init__(self, settings: Settings) -> None:
        self._roots = Roots(settings.cache.rootdir)
        self._known: dict[str, tuple[Stamp, str]] = {}

    def resolve(self, location: Location) -> str:
        return str(self._roots.find(location.path, base=location.base))

    def version(self, source: str) -> str | None:
        try:
            status = os.stat(source)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get(source)
            if known and known[0] == stamp:
                return known[1]
            with open(source, "rb") as file:
                version = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            name = os.path.basename(source)
            raise StoreUnavailable(f"'{name}' cannot be read: {error.strerror}") from error
        if time.time_ns() - status.st_mtime_ns > _TICK_NS:
            self._known[source] = (stamp, version)
        return version

    def content(self, source: str) -> bytes | None:
        try:
            with open(source, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def folder(self, source: str) -> str:
        return os.path.dirname(source)

    def read(self, project: QgsProject, source: str, flags: Any) -> None:
        read_by_qgis(project, source, flags, os.path.basename(source))
