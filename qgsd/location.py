# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a project is: what a client's MAP means, as far as the text alone tells.

The http child refuses here what no store could serve; the worker, which has the stores,
resolves the rest. So a proxy needs no copy of the projects, and no password leaves the
worker: what travels, queues and is logged is the key, with the name of an alias in it.

MAP is `path` or `scheme:path` or `scheme:path?project=name`. The scheme is that of a store,
or an alias that the administrator has defined for a place in one. What a client may say of
the place itself is little: see `Rules`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from qgsd.config import Settings

PROJECT_SUFFIXES = (".qgs", ".qgz")
BUILTIN_SCHEMES = frozenset({"file", "geopackage", "postgresql"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*):")
_AUTHORITY = re.compile(r"//([^/?]*)")
# In bytes: what Linux takes as a path and as a name in it, less a suffix that may be added.
_MAX_LENGTH = 4096
_MAX_NAME = 255 - len(".qgs")
_MAX_PARAMETERS = 20
_OTHER_NAMES = {"postgres": "postgresql"}
# Storages and protocols that exist but that no store serves from.
_FOREIGN = {"http", "https", "ftp", "ftps", "s3"}
# What a client may say of a database where `cache.insecure` lets it name one. Never a password.
_INSECURE = {"service", "dbname", "schema", "sslmode", "authcfg"}

# What an alias may say.
_KNOWN = {
    "geopackage": {"project", "projectName"},
    "postgresql": _INSECURE | {"project", "projectName", "sslrootcert", "sslcert", "sslkey", "sslcrl"},
}

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
            return f"file:{self.path}" if _SCHEME.match(self.path) else self.path
        authority = f"//{self.authority}" if self.authority else ""
        asked = (("project", self.project),) if self.project else ()
        query = "&".join(f"{name}={_quoted(value)}" for name, value in (*asked, *self.parameters))
        return f"{self.scheme}:{authority}{self.path}" + (f"?{query}" if query else "")

    @classmethod
    def from_key(cls, key: str) -> Location:
        """Raises `LocationError` for what is no key."""
        return _read(key, "file")


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
        match = _SCHEME.match(text)
        if not match or canonical_scheme(match[1]) in _FOREIGN:
            raise ValueError("not the URL of a store of projects")
        scheme = _store(canonical_scheme(match[1]))
        rest, authority = text[match.end() :], ""
        if named := _AUTHORITY.match(rest):
            authority, rest = named[1], rest[named.end() :]
        path, _, query = rest.partition("?")
        found = _parameters(query)
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
        return _project_of(dict(self.parameters))

    @property
    def is_template(self) -> bool:
        return any("{path}" in value for value in (self.path, *dict(self.parameters).values()))

    def place(self, asked: Location) -> Location:
        """The place in the store. Raises `LocationError` (403 outside the alias's folder, 404 no project)."""
        parameters = {name: value.replace("{path}", asked.path) for name, value in self.parameters}
        project = _project_of(parameters) or asked.project
        for name in _PROJECT:
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


@dataclass(frozen=True)
class Rules:
    """What clients may ask for, and what they mean by it.

    In any case: a path, and `project`, the name in a store of several. Hosts, users, services, options are
    refused, except of `postgresql:` when `insecure`. A password is refused always: it would be logged.

    :param aliases: the schemes of `[projects.schemes]`.
    :param allowed: the stores that may be used, also through an alias; None for all.
    :param insecure: clients may name databases themselves.
    :param default: the scheme of a MAP that has none.
    :param further: schemes of stores that are not built in.
    """

    aliases: Mapping[str, Alias] = field(default_factory=dict)
    allowed: frozenset[str] | None = None
    insecure: bool = False
    default: str = "file"
    further: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings, further: frozenset[str] = frozenset()) -> Rules:
        cache = settings.cache
        named = frozenset(map(canonical_scheme, cache.allow_storage_schemes))
        return cls(
            aliases={name: Alias.parse(url) for name, url in settings.schemes.items()},
            allowed=None if "*" in named else frozenset(map(_store, named)),
            insecure=cache.insecure,
            default=canonical_scheme(cache.default_handler),
            # A proxy may lack the package of a store that its workers have.
            further=further | (named - {"*"}),
        )

    def locate(self, value: str) -> Location:
        """The location that a client's MAP names. Raises `LocationError` (400, 403, 404)."""
        if not value.strip():
            raise LocationError(400, "no_map", "MAP names no project; add MAP=path/to/project")
        if not value.isprintable() or _is_too_long(value):
            raise LocationError(400, "bad_map", "MAP is too long or contains control characters")
        match = _SCHEME.match(value)
        scheme = canonical_scheme(match[1]) if match else self.default
        if scheme not in self.aliases and _store(scheme) not in BUILTIN_SCHEMES | self.further:
            raise _wrong_scheme(scheme)
        location = _read(value, self.default)
        alias = self.aliases.get(location.scheme)
        location = self._direct(location) if alias is None else _through(alias, location)
        self._check_store(alias.scheme if alias else location.scheme)
        return location

    def expand(self, location: Location) -> Location:
        """The place in a store, aliases replaced. Raises `LocationError`."""
        alias = self.aliases.get(location.scheme)
        place = location if alias is None else alias.place(location)
        self._check_store(place.scheme)
        return place

    def _check_store(self, scheme: str) -> None:
        if scheme not in BUILTIN_SCHEMES | self.further:
            raise _wrong_scheme(scheme)
        if self.allowed is not None and scheme not in self.allowed:
            raise _not_allowed(scheme)

    def _direct(self, location: Location) -> Location:
        location = replace(location, scheme=_store(location.scheme))
        if location.scheme == "postgresql":
            if not self.insecure or not {name for name, _ in location.parameters} <= _INSECURE:
                raise _not_allowed(location.scheme)
            if ":" in location.authority.rpartition("@")[0]:
                raise _refused("a password")
            if location.path not in ("", "/"):
                raise no_project(location.key)
            location = replace(location, path="")
        elif location.scheme in BUILTIN_SCHEMES | self.further:
            _refuse_details(location)
        if location.scheme == "geopackage" and not (location.path and location.project):
            raise no_project(location.key)
        return location


def _through(alias: Alias, location: Location) -> Location:
    """What a client says to an alias, less what the alias says itself."""
    _refuse_details(location)
    if alias.project:
        location = replace(location, project="")
    if alias.project and not alias.is_template:
        return replace(location, path="")
    if alias.is_template or alias.scheme == "postgresql":
        location = replace(location, path=location.path.strip("/"))
    if not location.path and (alias.is_template or not location.project):
        raise no_project(location.key)
    # `pg:town` and `pg:?project=town` are one.
    if location.path == "" and not alias.path.endswith("/"):
        location = replace(location, path=location.project, project="")
    return location


def _refuse_details(location: Location) -> None:
    if location.authority:
        raise _refused("a host or user")
    if location.parameters:
        raise _refused("any parameter but 'project'")


def parse_map(value: str, rules: Rules | None = None) -> Location:
    """The location that a MAP value names.

    >>> parse_map("town//sewers.qgs").key
    'town/sewers.qgs'
    >>> parse_map("file:world").key
    'world'

    Raises `LocationError` (400 malformed, 403 outside or not allowed, 404 unknown).
    """
    return (rules or Rules()).locate(value)


def canonical_scheme(scheme: str) -> str:
    """Its one spelling: case does not matter, nor whether it has - or _."""
    return scheme.lower().replace("-", "_")


def alias_name(text: str) -> str:
    """The name of an alias in its one spelling. Raises `ValueError` for what cannot be one."""
    name = canonical_scheme(text)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "file":
        raise ValueError("not a name for a scheme")
    return name


_PROJECT = ("project", "projectName")


def _project_of(parameters: Mapping[str, str]) -> str:
    return next((parameters[name] for name in _PROJECT if parameters.get(name)), "")


def _read(text: str, default: str) -> Location:
    match = _SCHEME.match(text)
    scheme = canonical_scheme(match[1]) if match else default
    rest = text[match.end() :] if match else text
    if scheme == "file":
        return Location(_file_path(rest))
    authority = ""
    if named := _AUTHORITY.match(rest):
        authority, rest = named[1], rest[named.end() :]
    path, _, query = rest.partition("?")
    found = _parameters(query)
    if found is None:
        raise LocationError(400, "bad_map", "the parameters in MAP cannot be read")
    more = dict(found)
    project = _project_of(more)
    for name in _PROJECT:
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


def _parameters(query: str) -> Parameters | None:
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


def _is_too_long(value: str) -> bool:
    raw = value.encode()
    return len(raw) > _MAX_LENGTH or any(len(name) > _MAX_NAME for name in raw.split(b"/"))


def _store(scheme: str) -> str:
    return _OTHER_NAMES.get(scheme, scheme)


def _refused(what: str) -> LocationError:
    return LocationError(403, "not_allowed", f"MAP must not name {what}")


def _not_allowed(scheme: str) -> LocationError:
    return LocationError(
        403, "scheme_not_allowed", f"projects of the scheme '{scheme}:' are not allowed here"
    )


def _wrong_scheme(scheme: str) -> LocationError:
    if scheme in _FOREIGN:
        return _not_allowed(scheme)
    return LocationError(404, "unknown_scheme", f"there is no project store with the scheme '{scheme}:'")
