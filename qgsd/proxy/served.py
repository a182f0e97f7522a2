# SPDX-License-Identifier: GPL-2.0-or-later
"""Which projects are served in which state, for those who keep answers: a stamp for each.

Two answers of one stamp come from the same content, read by the same code. A project has a stamp while a
worker has it open, and so watches whether it changes. It gets another one with every new generation, when
it is purged, and when a template with other code starts to serve. Closed to make room and opened again
unchanged it has its old stamp again. Pure.

`serial` is raised before a stamp becomes invalid for anybody: who knows a serial that is not the latest
does not know the stamps. See "Kept answers" in docs/architecture.md.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from qgsd.proxy.projects import Projects

# Closed projects whose stamps are remembered, and templates.
_MAX_CLOSED = 10_000
_MAX_CODES = 1000

# Generation, stamp and version.
Changes = dict[str, tuple[int, int, str]]
_NONE = (0, 0, "")


@dataclass(frozen=True, slots=True)
class _State:
    generation: int
    version: str
    stamp: int


class Served:
    """See the module's text. `serial`: to begin with, larger than any that an earlier one has used."""

    def __init__(self, serial: int) -> None:
        self.serial = self._last_stamp = serial
        self._open: dict[str, _State] = {}
        self._closed: OrderedDict[str, _State] = OrderedDict()
        self._codes: dict[str, tuple[str, tuple[str, ...] | None]] = {}
        self._known_codes: OrderedDict[str, None] = OrderedDict()

    @property
    def codes(self) -> list[str]:
        """The code that serves, of each machine's latest template."""
        return [code for code, _ in self._codes.values()]

    @property
    def depends(self) -> list[str] | None:
        """The request headers by which answers differ, in small letters; None where nobody can tell."""
        names: set[str] = set()
        for _, depends in self._codes.values():
            if depends is None:
                return None
            names.update(name.lower() for name in depends)
        return sorted(names)

    def all(self) -> Changes:
        """Generation, stamp and version of each project that has a stamp."""
        return {key: (state.generation, state.stamp, state.version) for key, state in self._open.items()}

    def joined(self, machine: str, code: str, depends: list[str] | None) -> bool:
        """A worker runs this code. True when it is news: all stamps are others then."""
        if code in self._known_codes:
            return False
        self._known_codes[code] = None
        if len(self._known_codes) > _MAX_CODES:
            self._known_codes.popitem(last=False)
        self._codes[machine] = code, None if depends is None else tuple(depends)
        self.serial += 1
        self._closed.clear()
        for key, state in self._open.items():
            self._open[key] = _State(state.generation, state.version, self._new_stamp())
        return True

    def changes(self, projects: Projects) -> Changes:
        """What has changed since the last time, 0 for a project that has no stamp any more."""
        changed: Changes = {}
        touched, purged = projects.take_touched()
        invalid = False
        for key in touched | purged:
            before = self._open.pop(key, None)
            if key in purged:
                self._closed.pop(key, None)
            now = self._state_of(projects, key, None if key in purged else before)
            if now is not None:
                self._open[key] = now
            elif before is not None and key not in purged:
                self._remember(key, before)
            if now != before:
                changed[key] = (now.generation, now.stamp, now.version) if now else _NONE
                invalid = invalid or before is not None
        if invalid:
            self.serial += 1
        return changed

    def _state_of(self, projects: Projects, key: str, before: _State | None) -> _State | None:
        project = projects.get(key)
        if project is None or project.held or not project.is_open_somewhere(project.generation):
            return None
        known = before or self._closed.pop(key, None)
        same = known and (known.generation, known.version) == (project.generation, project.version)
        # Without a version nobody can tell whether it is the same again.
        if known and same and (known is before or project.version):
            return known
        return _State(project.generation, project.version, self._new_stamp())

    def _remember(self, key: str, state: _State) -> None:
        self._closed[key] = state
        if len(self._closed) > _MAX_CLOSED:
            self._closed.popitem(last=False)

    def _new_stamp(self) -> int:
        self._last_stamp += 1
        return self._last_stamp
