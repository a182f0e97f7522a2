# SPDX-License-Identifier: GPL-2.0-or-later
"""What the administrator calls places in stores: `[projects.schemes]`."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from .place import (
    AUTHORITY,
    FOREIGN,
    INSECURE,
    PROJECT,
    SCHEME,
    Location,
    Parameters,
    canonical_scheme,
    outside,
    parameters_of,
    project_of,
    store_of,
)  # fmt: skip

# What an alias may say.
_KNOWN = {
    "geopackage": {"project", "projectName"},
    "postgresql": INSECURE | {"project", "projectName", "sslrootcert", "sslcert", "sslkey", "sslcrl"},
}


@dataclass(frozen=True, slots=True)
class Alias:
    """What `[projects.schemes]` says of one scheme: a place in a store, completed by the client's path.

    A path ending in `/` is a folder, below which the client's path is looked up. `{path}`, in the path
    or in a parameter, is replaced by the client's path. Otherwise the client's path names the project.
    """

    scheme: str
    path: str
    authority: str = ""
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Alias:
        """
        >>> Alias.parse("postgresql:?service=gis&schema=maps").parameters
        (('service', 'gis'), ('schema', 'maps'))

        Raises `ValueError` with a few words on what is wrong.
        """
        if text.startswith("/"):
            # A folder without `file:` before it, as py-qgis-server takes it.
            text = f"file:{text}"
        match = SCHEME.match(text)
        if not match or canonical_scheme(match[1]) in FOREIGN:
            raise ValueError("not the URL of a store of projects")
        scheme = store_of(canonical_scheme(match[1]))
        rest, authority = text[match.end() :], ""
        if named := AUTHORITY.match(rest):
            authority, rest = named[1], rest[named.end() :]
        path, _, query = rest.partition("?")
        found = parameters_of(query)
        if found is None or "{path}" in authority:
            raise ValueError("not a URL")
        if scheme == "postgresql" and path:
            # As people write URLs.
            if path != "/":
                raise ValueError("a postgresql: URL has no path; dbname= names the database")
            path = ""
        if scheme in _KNOWN and (further := set(dict(found)) - _KNOWN[scheme]):
            names = ", ".join(sorted(_KNOWN[scheme]))
            raise ValueError(f"'{min(further)}' means nothing to {scheme}:, which knows {names}")
        if scheme == "file" and (authority or (query and "{path}" not in query)):
            raise ValueError("a file: URL has neither host nor parameters")
        if scheme == "file" and "{path}" not in path + query and not path.endswith("/"):
            raise ValueError("a folder must end in /, or {path} must say where the client's path goes")
        return cls(scheme, path, authority, found)

    @property
    def project(self) -> str:
        return project_of(dict(self.parameters))

    @property
    def is_template(self) -> bool:
        return any("{path}" in value for value in (self.path, *dict(self.parameters).values()))

    def place(self, asked: Location) -> Location:
        """The place in the store. Raises `LocationError` (403 outside the alias's folder, 404 no project)."""
        parameters = {name: value.replace("{path}", asked.path) for name, value in self.parameters}
        project = project_of(parameters) or asked.project
        for name in PROJECT:
            parameters.pop(name, None)
        path, base = self.path, ""
        if self.is_template:
            path = self.path.replace("{path}", asked.path)
            # A file has no parameters; with `{path}` in one the alias means a single project.
            parameters = {} if self.scheme == "file" else parameters
            base = posixpath.dirname(self.path.partition("{path}")[0]) if "{path}" in self.path else ""
        elif self.path.endswith("/"):
            base = self.path
            path = posixpath.join(base, asked.path)
        else:
            project = project or asked.path
        return Location(
            _below(path, base), self.scheme, project, self.authority, tuple(parameters.items()), base
        )


def alias_name(text: str) -> str:
    """The name of an alias in its one spelling. Raises `ValueError` for what cannot be one."""
    name = canonical_scheme(text)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "file":
        raise ValueError("not a name for a scheme")
    return name


def _below(path: str, base: str) -> str:
    normal = posixpath.normpath(path) if path else ""
    if not base:
        return normal
    folder = posixpath.normpath(base)
    if folder == ".":
        within = not normal.startswith(("/", "../")) and normal != ".."
    else:
        within = normal.startswith(folder.rstrip("/") + "/")
    if not within:
        raise outside()
    return normal
