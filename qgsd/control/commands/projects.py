# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands about projects: which are open where, and to have them opened, closed, pinned, held."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from qgsd.completion import offer
from qgsd.control.commands.base import Arguments, Command, Waiting, declare_wait
from qgsd.control.operations import Operations, Progress
from qgsd.control.records import ProjectRecord

if TYPE_CHECKING:
    from rich.console import RenderableType


class Projects(Command[Arguments]):
    """The projects that workers have open, and those that do not load, are pinned or on hold.

    HITS is the share of requests that found the project open. MEMORY is what a worker grew by
    when it loaded it.
    """

    name = "projects"
    looks = True
    help = "list the open projects, with their workers and what they cost"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> list[ProjectRecord]:
        return await operations.projects()

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.projects(msgspec.convert(result, list[ProjectRecord]))


class ProjectArguments(Waiting, frozen=True):
    """`project`: as in MAP=; the ending of the file may be left out."""

    project: str


P = TypeVar("P", bound=ProjectArguments)


class _ProjectCommand(Command[P]):
    """A command about one project."""

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        offer(parser.add_argument("project", metavar="PROJECT", help="as in MAP="), "projects")
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.project_outcome(result)


class Load(_ProjectCommand[ProjectArguments]):
    """Open a project in an idle worker, so that its first request does not wait for that."""

    name = "load"
    help = "open a project in a worker before it is asked for"
    arguments = ProjectArguments

    async def run(self, operations: Operations, args: ProjectArguments, progress: Progress) -> dict[str, Any]:
        return await operations.load_project(args.project, wait=args.wait, progress=progress)


class Evict(_ProjectCommand[ProjectArguments]):
    """Have all workers close a project and its files. The next request for it opens it again."""

    name = "evict"
    help = "close a project in all workers"
    arguments = ProjectArguments

    async def run(self, operations: Operations, args: ProjectArguments, progress: Progress) -> dict[str, Any]:
        return await operations.evict_project(args.project, wait=args.wait, progress=progress)


class PinArguments(ProjectArguments, frozen=True):
    """`pin` false lets it be closed again."""

    pin: bool = True


class Pin(_ProjectCommand[PinArguments]):
    """Keep a project open in a worker at all times, whatever else is asked for; --off ends that.

    Pins hold until the master ends; those of the file `[cache] preload_config` come back with it.
    """

    name = "pin"
    help = "keep a project open at all times (--off: no longer)"
    arguments = PinArguments

    async def run(self, operations: Operations, args: PinArguments, progress: Progress) -> dict[str, Any]:
        return await operations.pin_project(args.project, pin=args.pin, wait=args.wait, progress=progress)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        super().declare(parser)
        parser.add_argument("--off", dest="pin", action="store_false", help="it may be closed again")


class HoldCommand(_ProjectCommand[ProjectArguments]):
    """Have all workers close a project and its files, and keep requests for it waiting.

    For replacing data that QGIS keeps open. Requests wait as long as they may wait in the queue
    ([zmq] timeout), then they are answered 503 with Retry-After. `release` ends it.
    """

    name = "hold"
    help = "close a project everywhere and let its requests wait, until `release`"
    arguments = ProjectArguments

    async def run(self, operations: Operations, args: ProjectArguments, progress: Progress) -> dict[str, Any]:
        return await operations.hold_project(args.project, wait=args.wait, progress=progress)


class Release(_ProjectCommand[ProjectArguments]):
    """Serve a project again that was on hold."""

    name = "release"
    help = "serve a project again that was on hold"
    arguments = ProjectArguments

    async def run(self, operations: Operations, args: ProjectArguments, progress: Progress) -> dict[str, Any]:
        return await operations.release_project(args.project, wait=args.wait, progress=progress)
