# SPDX-License-Identifier: GPL-2.0-or-later
"""A project's place, and how it is read from a text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

BUILTIN_SCHEMES = frozenset({"file", "geopackage", "postgresql"})

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*):")
AUTHORITY = re.compile(r"//([^/?]*)")
_MAX_PARAMETERS = 20
_OTHER_NAMES = {"postgres": "postgresql"}
# Storages and protocols that exist but that no store serves from.
FOREIGN = {"http", "https", "ftp", "ftps", "s3"}
# What a client may say of a database where `cache.insecure` lets it name one. Never a password.
INSECURE = {"service", "dbname", "schema", "sslmode", "authcfg"}
# The names of the parameter that names a project.
PROJECT = ("project", "projectName")

Parameters = tuple[tuple[str, str], ...]


class LocationError(Exception):
    """MAP names nothing that can be served; `status` is what HTTP shall say."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def outside() -> LocationError:
    return LocationError(403, "outside_root", "MAP lies outside the root folder of projects")


def no_project(key: str) -> LocationError:
    return LocationError(404, "no_project", f"there is no project '{key}'")


@dataclass(frozen=True, slots=True)
class Location:
    """A project's place.

    :param path: normalised; relative to the roots unless absolute. Empty only where `project` is not.
    :param scheme: the store, or an alias until `Rules.expand` has replaced it.
    :param project: its name, in stores that keep several projects at one place.
    :param authority: `user@host:port`, for databases.
    :param parameters: further ones by name, without blanks or repetitions.
    :param base: the folder that `path` must not leave; empty for the root folders of projects.
    """

    path: str
    scheme: str = "file"
    project: str = ""
    authority: str = ""
    parameters: Parameters = ()
    base: str = ""

    @property
    def key(self) -> str:
        """The name of the project in queues, caches and logs; `from_key` makes the location of it again.

        >>> Location("a:b").key, Location("town", "maps").key, Location("", "pg", "a&b").key
        ('file:a:b', 'maps:town', 'pg:?project=a%26b')
        """
        if self.scheme == "file":
            return f"file:{self.path}" if SCHEME.match(self.path) else self.path
        authority = f"//{self.authority}" if self.authority else ""
        asked = (("project", self.project),) if self.project else ()
        query = "&".join(f"{name}={_quoted(value)}" for name, value in (*asked, *self.parameters))
        return f"{self.scheme}:{authority}{self.path}" + (f"?{query}" if query else "")

    @classmethod
    def from_key(cls, key: str) -> Location:
        """Raises `LocationError` for what is no key."""
        return read(key, "file")


def canonical_scheme(scheme: str) -> str:
    """Its one spelling: case does not matter, nor whether it has - or _."""
    return scheme.lower().replace("-", "_")


def store_of(scheme: str) -> str:
    return _OTHER_NAMES.get(scheme, scheme)


def project_of(parameters: Mapping[str, str]) -> str:
    return next((parameters[name] for name in PROJECT if parameters.get(name)), "")


def read(text: str, default: str) -> Location:
    match = SCHEME.match(text)
    scheme = canonical_scheme(match[1]) if match else default
    rest = text[match.end() :] if match else text
    if scheme == "file":
        return Location(_file_path(rest))
    authority = ""
    if named := AUTHORITY.match(rest):
        authority, rest = named[1], rest[named.end() :]
    path, _, query = rest.partition("?")
    found = parameters_of(query)
    if found is None:
        raise LocationError(400, "bad_map", "the parameters in MAP cannot be read")
    more = dict(found)
    project = project_of(more)
    for name in PROJECT:
        more.pop(name, None)
    return Location(_normal(path), scheme, project, authority, tuple(more.items()))


def _file_path(path: str) -> str:
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    normal = _normal(path)
    if normal in ("", "/"):
        raise LocationError(404, "no_project", "MAP names a folder, not a project")
    return normal


def _normal(path: str) -> str:
    """The path in its one spelling, empty for the place where it starts."""
    if "\\" in path:
        raise LocationError(
            403, "outside_root", "MAP must be a path with forward slashes below the root folder"
        )
    normal = posixpath.normpath("/" + path.lstrip("/") if path.startswith("/") else path)
    if normal == ".." or normal.startswith("../"):
        raise outside()
    return "" if normal == "." else normal


def parameters_of(query: str) -> Parameters | None:
    """Each name once, each value text; None for what is not so."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )  # fmt: skip
    except (ValueError, UnicodeError):
        return None
    names = [name for name, _ in pairs]
    readable = all(part.isprintable() for pair in pairs for part in pair)
    return tuple(pairs) if readable and len(set(names)) == len(names) else None


def _quoted(value: str) -> str:
    return re.sub(r"[%&+=#;]", lambda match: f"%{ord(match[0]):02X}", value)
