# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects in GeoPackages, as QGIS stores them: rows of the table qgis_projects."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import Any
from urllib.parse import quote, unquote

from qgis.core import QgsProject

from qgsd.config import Settings
from qgsd.location import Location, no_project
from qgsd.roots import Roots
from qgsd.worker.stores.base import StoreUnavailable, read_by_qgis
from qgsd.worker.stores.files import Stamp

_BUSY_SECONDS = 2.0
# QGIS decodes all of a query but these; a name with a % in it cannot be said at all.
QUERY_SAFE = "!$'()*+,/:;?@[]"


class GeoPackageStore:
    """`geopackage:path/file.gpkg?project=name`, the file confined like those of `file:`.

    The version is a digest of the row's content: QGIS's own time of the last change counts whole
    seconds. The file is only ever opened through SQLite: closing it otherwise would drop the locks
    that QGIS holds on it in this process (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, settings: Settings) -> None:
        self._roots = Roots(settings.cache.rootdir)
        self._known: dict[str, tuple[tuple[Stamp, ...], str | None]] = {}

    def resolve(self, location: Location) -> str:
        if not location.project or "%" in location.project:
            raise no_project(location.project)
        path = self._roots.find(location.path, (".gpkg",), location.base)
        return f"geopackage:{quote(str(path))}?projectName={quote(location.project, safe=QUERY_SAFE)}"

    def version(self, source: str) -> str | None:
        path, name = _parts(source)
        stamps = tuple(_stamp(path + suffix) for suffix in ("", "-wal"))
        if not any(stamps[0]):
            return None
        known = self._known.get(source)
        if known and known[0] == stamps:
            return known[1]
        content = _content(path, name)
        version = None if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()
        # Looked at once more: a write in between must not be remembered under the stamp before it.
        if stamps == tuple(_stamp(path + suffix) for suffix in ("", "-wal")):
            self._known[source] = (stamps, version)
        return version

    def content(self, source: str) -> bytes | None:
        content = _content(*_parts(source))
        try:
            # QGIS writes hexadecimal digits.
            return None if content is None else bytes.fromhex(content.decode("ascii"))
        except ValueError:
            return None

    def folder(self, source: str) -> str:
        return os.path.dirname(_parts(source)[0])

    def read(self, project: QgsProject, source: str, flags: Any) -> None:
        path, name = _parts(source)
        read_by_qgis(project, source, flags, f"{os.path.basename(path)}: {name}")


def _parts(source: str) -> tuple[str, str]:
    path, _, query = source.removeprefix("geopackage:").partition("?")
    return unquote(path), unquote(query.removeprefix("projectName="))


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _content(path: str, name: str) -> bytes | None:
    """The stored project; None where there is none of that name. Raises `StoreUnavailable`."""
    address = f"file:{quote(path)}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as database:
            rows = database.execute(
                "SELECT CAST(content AS BLOB) FROM qgis_projects WHERE name = ?", (name,)
            ).fetchall()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise StoreUnavailable(f"'{os.path.basename(path)}' cannot be read now: {error}") from error
    return rows[0][0] if rows else None
