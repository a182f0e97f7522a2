# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a project is: what a client's MAP means, as far as the text alone tells.

The http child refuses here what no store could serve; the worker, which has the
files, resolves the rest. So a proxy needs no copy of the projects.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# In bytes: what Linux takes as a path and as a name in it, less a suffix that may be added.
_MAX_LENGTH = 4096
_MAX_NAME = 255 - len(".qgs")
# Storages and protocols that exist but that this instance does not serve from.
_KNOWN_SCHEMES = {"postgresql", "postgres", "geopackage", "http", "https", "ftp", "ftps", "s3"}
PROJECT_SUFFIXES = (".qgs", ".qgz")


class LocationError(Exception):
    """MAP names nothing that can be served; `status` is what HTTP shall say."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Location:
    """A project's place: `path` is normalised and, unless absolute, relative to the root."""

    path: str

    @property
    def key(self) -> str:
        """The name of the project in queues, caches and logs."""
        return self.path


def parse_map(value: str) -> Location:
    """The location that a MAP value names.

    >>> parse_map("town//sewers.qgs").key
    'town/sewers.qgs'
    >>> parse_map("file:world").key
    'world'

    Raises `LocationError` (400 malformed, 403 outside or not allowed, 404 unknown).
    """
    if not value.strip():
        raise LocationError(400, "no_map", "MAP names no project; add MAP=path/to/project")
    if not value.isprintable() or _is_too_long(value):
        raise LocationError(400, "bad_map", "MAP is too long or contains control characters")
    match = _SCHEME.match(value)
    if match and match[1].lower() != "file":
        raise _wrong_scheme(match[1])
    path = value[match.end() :] if match else value
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    if "\\" in path:
        raise LocationError(
            403, "outside_root", "MAP must be a path with forward slashes below the root folder"
        )
    normal = posixpath.normpath(path)
    if normal == ".." or normal.startswith("../"):
        raise LocationError(403, "outside_root", "MAP lies outside the root folder of projects")
    if normal in (".", "/"):
        raise LocationError(404, "no_project", "MAP names a folder, not a project")
    return Location(normal)


def _is_too_long(value: str) -> bool:
    raw = value.encode()
    return len(raw) > _MAX_LENGTH or any(len(name) > _MAX_NAME for name in raw.split(b"/"))


def _wrong_scheme(scheme: str) -> LocationError:
    if scheme.lower() in _KNOWN_SCHEMES:
        return LocationError(
            403, "scheme_not_allowed", f"projects of the scheme '{scheme}:' are not allowed here"
        )
    return LocationError(404, "unknown_scheme", f"there is no project store with the scheme '{scheme}:'")
