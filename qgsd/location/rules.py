# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients may ask for, and what they mean by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .alias import Alias
from .place import (
    BUILTIN_SCHEMES,
    FOREIGN,
    INSECURE,
    SCHEME,
    Location,
    LocationError,
    canonical_scheme,
    no_project,
    read,
    store_of,
)  # fmt: skip

if TYPE_CHECKING:
    from qgsd.config import Settings

# In bytes: what Linux takes as a path and as a name in it, less a suffix that may be added.
_MAX_LENGTH = 4096
_MAX_NAME = 255 - len(".qgs")


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
            allowed=None if "*" in named else frozenset(map(store_of, named)),
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
        match = SCHEME.match(value)
        scheme = canonical_scheme(match[1]) if match else self.default
        if scheme not in self.aliases and store_of(scheme) not in BUILTIN_SCHEMES | self.further:
            raise _wrong_scheme(scheme)
        location = read(value, self.default)
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
        location = replace(location, scheme=store_of(location.scheme))
        if location.scheme == "postgresql":
            if not self.insecure or not {name for name, _ in location.parameters} <= INSECURE:
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


def _is_too_long(value: str) -> bool:
    raw = value.encode()
    return len(raw) > _MAX_LENGTH or any(len(name) > _MAX_NAME for name in raw.split(b"/"))


def _refused(what: str) -> LocationError:
    return LocationError(403, "not_allowed", f"MAP must not name {what}")


def _not_allowed(scheme: str) -> LocationError:
    return LocationError(
        403, "scheme_not_allowed", f"projects of the scheme '{scheme}:' are not allowed here"
    )


def _wrong_scheme(scheme: str) -> LocationError:
    if scheme in FOREIGN:
        return _not_allowed(scheme)
    return LocationError(404, "unknown_scheme", f"there is no project store with the scheme '{scheme}:'")
