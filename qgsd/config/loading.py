# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings from everywhere they can come from: defaults < environment < file < command line.

Every value that is given is checked, even where a stronger one wins: a file is right or wrong by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import migration
from .catalogue import (
    canonical,
    closed_sections,
    declarations,
    find,
    named,
    open_sections,
    sections,
    unknown_key,
    unknown_section,
)
from .declaration import ENVIRONMENT_PREFIX, Declaration
from .errors import ConfigError, nearest
from .inifile import Entry, Expander, IniFile, read
from .options import Settings

Id = tuple[str, str]

DEFAULT = "default"
COMMAND_LINE = "command line"

_WORKER_PORT = 18080


@dataclass(frozen=True)
class Loaded:
    """Settings, and where they came from.

    :param sources: of every option, by (section, key): "default", "environment QGSRV_…", "FILE:LINE" or
        "command line".
    :param path: the configuration file, absolute, if there is one.
    :param unknown_environment: QGSRV_ variables that no option knows, each with the known one most like it.
    :param notes: names of py-qgis-server that have no effect here, a line each that says why or what to use.
    """

    settings: Settings
    sources: dict[Id, str]
    path: str | None = None
    unknown_environment: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Given:
    value: Any
    source: str


def load(path: str | None, environ: Mapping[str, str], overrides: Mapping[Id, str]) -> Loaded:
    """The settings in force.

    >>> load(None, {"QGSRV_SERVER_TIMEOUT": "5"}, {("server", "port"): "9000"}).settings.server.port
    9000

    :param path: the configuration file; None for none. Relative paths in it start at its folder, others
        at the current directory.
    :param environ: the environment; only QGSRV_ variables count.
    :param overrides: what the command line gave, as text, by (section, key).
    :raises ConfigError: for the first thing that is wrong, wherever it stands.
    """
    given = {d.id: _Given(d.default, DEFAULT) for d in declarations()}
    given |= _from_environment(environ)
    commanded = _from_command_line(overrides)
    notes = _environment_notes(environ)
    if path:
        ini = read(path)
        given |= _from_file(ini, os.path.dirname(os.path.abspath(path)), given, commanded)
        notes = [*_file_notes(ini), *notes]
    given |= commanded
    _follow_hostaddr(given)
    return Loaded(
        settings=_settings({option: one.value for option, one in given.items()}),
        sources={option: one.source for option, one in given.items()},
        path=os.path.abspath(path) if path else None,
        unknown_environment=_unknown(environ),
        notes=notes,
    )


def _follow_hostaddr(given: dict[Id, _Given]) -> None:
    """py-qgis-server's one address for the queue: a proxy listens there, workers connect to it."""
    named = given["zmq", "hostaddr"]
    if named.source == DEFAULT:
        return
    source = f"zmq.hostaddr, {named.source}"
    if given["zmq", "bindaddr"].source == DEFAULT:
        given["zmq", "bindaddr"] = _Given(f"tcp://{named.value}:{_WORKER_PORT}", source)
    if given["worker", "host"].source == DEFAULT and named.value != "*":
        given["worker", "host"] = _Given(named.value, source)


def _settings(values: Mapping[Id, Any]) -> Settings:
    grouped: dict[str, dict[str, Any]] = {name: {} for name in sections()}
    for (section, key), value in values.items():
        grouped[section][key] = value
    closed: dict[str, Any] = {name: kind(**grouped[name]) for name, kind in closed_sections().items()}
    opened: dict[str, Any] = {section.field: grouped[name] for name, section in open_sections().items()}
    return Settings(**closed, **opened)


def _from_environment(environ: Mapping[str, str]) -> dict[Id, _Given]:
    given = {}
    for declared, variable in _variables(environ):
        text = environ[variable]
        # Container files set variables to nothing to leave them out.
        if not text.strip() and not declared.kind.takes_empty:
            continue
        source = f"environment {variable}"
        given[declared.id] = _Given(_value(declared, text, _here(), source), source)
    return given


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[Declaration, str]]:
    """The variables that set an option, of several for one the strongest last."""
    for declared in declarations():
        for variable in reversed(declared.variables):
            if variable in environ:
                yield declared, variable
    for section in open_sections().values():
        for variable in sorted(environ):
            key = variable.removeprefix(section.environment)
            if key not in ("", variable):
                opened = find(section.section, key)
                if opened is None:
                    raise unknown_key(section.section, key, source=f"environment {variable}")
                yield opened, variable


def _from_command_line(overrides: Mapping[Id, str]) -> dict[Id, _Given]:
    given = {}
    for (section, key), text in overrides.items():
        declared = find(section, key)
        if declared is None:
            raise unknown_key(section, key, source=COMMAND_LINE)
        value = _value(declared, text, _here(), COMMAND_LINE)
        given[declared.id] = _Given(value, COMMAND_LINE)
    return given


def with_value(loaded: Loaded, name: str, text: str, source: str) -> Loaded:
    """The same with another value for the option called `name` ("server.timeout"), from `source`.

    >>> with_value(load(None, {}, {}), "server.timeout", "5", "a test").settings.server.timeout
    5.0

    :raises ConfigError: for an unknown option or a bad value.
    """
    declared = named(name, source=source)
    value = _value(declared, text, _here(), source)
    settings = loaded.settings
    if declared.open_in:
        changed: dict[str, Any] = {
            declared.open_in: {**getattr(settings, declared.open_in), declared.key: value}
        }
    else:
        changed = {declared.section: replace(getattr(settings, declared.section), **{declared.key: value})}
    settings = replace(settings, **changed)
    return replace(loaded, settings=settings, sources={**loaded.sources, declared.id: source})


def _here() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigError("the current directory does not exist any more") from error


def _value(declared: Declaration, text: str, folder: str, source: str) -> Any:
    try:
        return declared.kind.parse(text, folder)
    except ValueError as error:
        raise ConfigError(
            str(error),
            source=source,
            key=declared.name,
            found=declared.quote(text),
            allowed=declared.kind.describe(),
        ) from None


def _from_file(
    ini: IniFile, folder: str, below: Mapping[Id, _Given], above: Mapping[Id, _Given]
) -> dict[Id, _Given]:
    entries = _known_entries(ini)

    def lookup(section: str, key: str) -> str | Entry:
        declared = find(section, key)
        if declared is None:
            raise KeyError(key)
        # A reference means the option's value in force, wherever that comes from.
        if declared.id in entries and declared.id not in above:
            return entries[declared.id][1]
        given = above.get(declared.id) or below.get(declared.id)
        if given is None and not declared.has_default:
            raise KeyError(key)
        value: str = declared.kind.format(given.value if given else declared.default)
        return value

    expander = Expander(lookup)
    given = {}
    for option, (declared, entry) in entries.items():
        text = expander.expand(entry)
        try:
            value = declared.kind.parse(text, folder)
        except ValueError as error:
            raise entry.error(str(error), declared.quote(text), declared.kind.describe()) from None
        given[option] = _Given(value, f"{entry.file}:{entry.line}")
    return given


def _known_entries(ini: IniFile) -> dict[Id, tuple[Declaration, Entry]]:
    """The entries by option. Raises ConfigError for unknown sections and keys, and for duplicates."""
    for section, line in ini.sections.items():
        if canonical(section) not in sections() and not migration.has_section(section):
            raise unknown_section(section, file=ini.file, line=line)
    known: dict[Id, tuple[Declaration, Entry]] = {}
    for entry in ini.entries:
        declared = find(entry.section, entry.key)
        if declared is None:
            _refuse_unless_idle(entry)
            continue
        if declared.id in known:
            first = known[declared.id][1]
            raise entry.error(
                f"given twice, first in line {first.line}",
                declared.quote(entry.text),
                "one value for a key" + _same_section(first, entry),
            )
        known[declared.id] = declared, entry
    return known


def _refuse_unless_idle(entry: Entry) -> None:
    name = migration.name_of(entry.section, entry.key)
    if name is None:
        raise unknown_key(entry.section, entry.key, file=entry.file, line=entry.line)
    if name.asks_for(entry.text):
        raise entry.error("an option of py-qgis-server that qgsd does not have", instead=name.note)


def _file_notes(ini: IniFile) -> list[str]:
    """Of entries that are let pass."""
    notes = []
    for entry in ini.entries:
        name = migration.name_of(entry.section, entry.key)
        if name and name.idle and find(entry.section, entry.key) is None:
            where = f"{entry.file}:{entry.line}: [{entry.section}] {entry.key}"
            notes.append(f"{where} has no effect: {name.note}")
    return notes


def _environment_notes(environ: Mapping[str, str]) -> list[str]:
    """Of variables of py-qgis-server that have no effect here: a line each."""
    notes = []
    for variable in sorted(environ):
        name, text = migration.set_by(variable), environ[variable]
        if name is not None:
            if find(name.section, name.key) is None and text and (name.idle or name.asks_for(text)):
                notes.append(f"environment {variable} has no effect: {name.note}")
        elif known := migration.variable_named(variable):
            notes.append(f"environment {variable} has no effect: {known.note}")
    return notes


def _same_section(first: Entry, second: Entry) -> str:
    if first.section == second.section:
        return ""
    return f" ([{first.section}] and [{second.section}] are one section)"


def _unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    known = {d.environment.removeprefix(ENVIRONMENT_PREFIX): d.environment for d in declarations()}
    others = {variable for d in declarations() for variable in d.also}
    opened = tuple(section.environment for section in open_sections().values())
    unknown: dict[str, str | None] = {}
    for name in sorted(environ):
        # The common prefix would make everything look alike.
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if migration.set_by(name) or migration.variable_named(name) or name in others:
            continue
        if name.startswith(ENVIRONMENT_PREFIX) and rest not in known and not name.startswith(opened):
            like = nearest(rest, known)
            unknown[name] = known[like] if like else None
    return unknown
