# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding options: all of them, one by its name, those that differ between two settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

from .declaration import METADATA, Declaration, placed
from .errors import ConfigError, nearest
from .options import Settings

# py-qgis-server's names for sections of qgsd.
ALIASES = {"projects.cache": "cache"}

_DEFAULTS = Settings()


def declarations() -> Iterator[Declaration]:
    """All options, in the order in which they are declared."""
    return iter(_by_id().values())


def sections() -> dict[str, str]:
    """The sections in order: name, and what it is about."""
    about = {f.name: type(getattr(_DEFAULTS, f.name)).__doc__ or "" for f in dataclasses.fields(Settings)}
    return {name: doc.partition(": ")[2] for name, doc in about.items()}


def canonical(section: str) -> str:
    """The section's own name, where `section` may be another name for it."""
    return ALIASES.get(section, section)


def find(section: str, key: str) -> Declaration | None:
    """The option of that name, or None."""
    return _by_id().get((canonical(section), key))


def named(name: str, source: str = "") -> Declaration:
    """The option written as "server.port".

    :param source: who wrote it, for the error ("command line").
    :raises ConfigError: when there is no such option.
    """
    section, _, key = name.rpartition(".")
    declared = find(section, key)
    if declared is not None:
        return declared
    if canonical(section) in sections():
        raise unknown_key(section, key, source=source)
    known = [d.name for d in declarations()]
    raise ConfigError(
        "no such option",
        source=source,
        found=name,
        allowed="SECTION.KEY as listed by qgsd config",
        nearest=nearest(name, known) or next((n for n in known if n.endswith(f".{key}")), None),
    )


def unknown_section(section: str, *, file: str, line: int) -> ConfigError:
    """The error for a section that does not exist."""
    return ConfigError(
        "unknown section",
        file=file,
        line=line,
        key=f"[{section}]",
        found=section,
        allowed=", ".join(sections()),
        nearest=nearest(section, [*sections(), *ALIASES]),
    )


def unknown_key(
    section: str, key: str, *, file: str | None = None, line: int | None = None, source: str = ""
) -> ConfigError:
    """The error for a key that a known section does not have."""
    known = [d.key for d in declarations() if d.section == canonical(section)]
    return ConfigError(
        "unknown key",
        file=file,
        line=line,
        source=source,
        key=f"[{section}] {key}",
        found=key,
        allowed=", ".join(known),
        nearest=_in_other_section(key) or nearest(key, known) or _like_in_other_section(key),
    )


def changes(old: Settings, new: Settings) -> tuple[list[Declaration], list[Declaration]]:
    """The options whose values differ: those that a reload can change, those that take a restart."""
    differing = [d for d in declarations() if d.of(old) != d.of(new)]
    return [d for d in differing if d.live], [d for d in differing if not d.live]


def _in_other_section(key: str) -> str | None:
    return next((f"[{d.section}] {d.key}" for d in declarations() if d.key == key), None)


def _like_in_other_section(key: str) -> str | None:
    like = nearest(key, [d.key for d in declarations()])
    return _in_other_section(like) if like else None


@cache
def _by_id() -> dict[tuple[str, str], Declaration]:
    found = {}
    for section in dataclasses.fields(Settings):
        for item in dataclasses.fields(getattr(_DEFAULTS, section.name)):
            declared = placed(item.metadata[METADATA], section.name, item.name)
            found[declared.id] = declared
    return found
