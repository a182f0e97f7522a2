# SPDX-License-Identifier: GPL-2.0-or-later
"""What an http child knows of the projects as they are served now: may a kept answer be given?

The dispatcher tells it, in messages that may be under way while a reload is reported already. So it also
raises a serial in shared memory beforehand: while that is another than the one heard last, nothing is known.
"""

from __future__ import annotations

from qgsd import messages
from qgsd.scoreboard import Row, Scoreboard, State

_NONE = (0, 0, "")


class Current:
    """The state as told over one connection to a dispatcher."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board
        self._row: Row | None = None
        self._serial = 0
        self._projects: dict[str, tuple[int, int, str]] = {}
        self._codes: frozenset[str] = frozenset()
        self.depends: tuple[str, ...] = ()

    def heard(self, told: messages.Serving) -> list[str]:
        """Returns the projects that have another stamp than before."""
        before, replaced = self._projects, []
        self._projects = {} if told.whole else before
        for key, state in told.projects.items():
            if key in before and state[1] and state[1] != before[key][1]:
                replaced.append(key)
            if state[1]:
                self._projects[key] = state
            else:
                self._projects.pop(key, None)
        self._codes = frozenset(told.codes) if told.depends is not None else frozenset()
        self.depends = tuple(told.depends or ())
        self._row, self._serial = self._board.row(told.row), told.serial
        return replaced

    @property
    def is_predictable(self) -> bool:
        """It is known on what answers depend: no plugin has a say in them without having told."""
        return bool(self._codes)

    def stamp(self, project: str) -> int:
        """Of the answers that may be given for this project; 0: none may."""
        row = self._row
        if row is None or row.serial != self._serial or row.state == State.DRAINING or not self._codes:
            return 0
        return self._projects.get(project, _NONE)[1]

    def stamp_of(self, project: str, answer: messages.Answer) -> int:
        """The stamp under which an answer that has just come may be kept; 0: it may not."""
        generation, _, version = self._projects.get(project, _NONE)
        if answer.code not in self._codes or (answer.generation, answer.version) != (generation, version):
            return 0
        return self.stamp(project)
