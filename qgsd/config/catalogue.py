# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding options: all of them, one by its name, those that differ between two settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

from . import migration
from .declaration import METADATA, Declaration, OpenSection, placed
from .errors import ConfigError, nearest
from .options import OPEN_SECTIONS, Settings

# py-qgis-server's names for sections of qgsd; of [api:NAME] see `canonical`.
ALIASES = {"projects.cache": "cache"}

_DEFAULTS = Settings()


def declarations() -> Iterator[Declaration]:
    """All options but those of open sections, in the order in which they are declared."""
    return iter(_by_id().values())


def open_sections() -> dict[str, OpenSection]:
    """The sections whose keys the operator chooses, by name."""
    return {section.section: section for section in OPEN_SECTIONS}


def in_force(settings: Settings) -> Iterator[Declaration]:
    """All options, and of open sections those that `settings` has."""
    yield from declarations()
    for section in OPEN_SECTIONS:
        yield from (section.declare(key) for key in getattr(settings, section.field))


def sections() -> dict[str, str]:
    """The sections in order: name, and what it is about."""
    about = {name: (kind.__doc__ or "").partition(": ")[2] for name, kind in closed_sections().items()}
    return about | {section.section: section.about for section in OPEN_SECTIONS}


def closed_sections() -> dict[str, type]:
    """The sections whose keys are declared: name, and the class that holds the values."""
    held = {f.name: type(getattr(_DEFAULTS, f.name)) for f in dataclasses.fields(Settings)}
    return {name: kind for name, kind in held.items() if dataclasses.is_dataclass(kind)}


def canonical(section: str) -> str:
    """The section's own name, where `section` may be another name for it.

    >>> canonical("projects.cache"), canonical("api:landing_page"), canonical("server")
    ('cache', 'environment', 'server')
    """
    if section.startswith("api:") and section != "api:":
        return "environment"
    return ALIASES.get(section, section)


def find(section: str, key: str) -> Declaration | None:
    """The option of that name, or None."""
    opened = open_sections().get(canonical(section))
    if opened is None:
        return _by_id().get((canonical(section), key))
    try:
        return opened.declare(key)
    except ValueError:
        return None


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
    opened = open_sections().get(canonical(section))
    name = migration.name_of(section, key)
    return ConfigError(
        "unknown key" if opened is None else "not a name",
        file=file,
        line=line,
        source=source,
        key=f"[{section}] {key}",
        found=key,
        allowed=", ".join(known) if opened is None else opened.names,
        nearest=_in_other_section(key) or nearest(key, known) or _like_in_other_section(key),
        instead=name.note if name else "",
    )


def changes(old: Settings, new: Settings) -> tuple[list[Declaration], list[Declaration]]:
    """The options whose values differ: those that a reload can change, those that take a restart."""
    known = {d.id: d for settings in (old, new) for d in in_force(settings)}
    differing = [d for d in known.values() if d.of(old) != d.of(new)]
    return [d for d in differing if d.live], [d for d in differing if not d.live]


def _in_other_section(key: str) -> str | None:
    return next((f"[{d.section}] {d.key}" for d in declarations() if d.key == key), None)


def _like_in_other_section(key: str) -> str | None:
    like = nearest(key, [d.key for d in declarations()])
    return _in_other_section(like) if like else None


@cache
def _by_id() -> dict[tuple[str, str], Declaration]:
    found = {}
    for section, kind in closed_sections().items():
        for item in dataclasses.fields(kind):
            declared = placed(item.metadata[METADATA], section, item.name)
            found[declared.id] = declared
    return found
