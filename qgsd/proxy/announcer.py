# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells http children which projects are served in which state, so that they may answer from what they keep.

First the serial in shared memory, then the message: an http child that has not heard of a change yet sees
that there is one, and asks a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from qgsd import messages
from qgsd.proxy.projects import Projects
from qgsd.proxy.served import Changes, Served
from qgsd.scoreboard import Row


class Announcer:
    """`to_http(message)` reaches all http children, `number` is that of the dispatcher's `row`."""

    def __init__(
        self, projects: Projects, row: Row, number: int, to_http: Callable[[messages.Serving], None]
    ) -> None:
        # Of the machine's clock, so that a successor's is larger.
        self._served = Served(time.monotonic_ns())
        self._projects = projects
        self._row = row
        self._number = number
        self._to_http = to_http
        row.serial = self._served.serial

    def tell(self) -> None:
        """What has changed; before anybody else is told of it."""
        if self._projects.are_touched and (changed := self._served.changes(self._projects)):
            self._tell(changed, whole=False)

    def joined(self, join: messages.Join) -> None:
        """A worker is there; perhaps with other code."""
        if join.code and self._served.joined(join.machine, join.code, join.depends):
            self._tell(self._served.all(), whole=True)

    def state(self) -> messages.Serving:
        """For an http child that has just come."""
        return self._message(self._served.all(), whole=True)

    def _tell(self, projects: Changes, *, whole: bool) -> None:
        self._row.serial = self._served.serial
        self._to_http(self._message(projects, whole=whole))

    def _message(self, projects: Changes, *, whole: bool) -> messages.Serving:
        served = self._served
        return messages.Serving(
            served.serial, self._number, served.codes, served.depends, projects, whole=whole
        )
