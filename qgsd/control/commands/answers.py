# SPDX-License-Identifier: GPL-2.0-or-later
"""The command about answers that are kept."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from qgsd.completion import offer
from qgsd.control.commands.base import Command, Waiting, declare_wait
from qgsd.control.operations import Operations, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType


class PurgeArguments(Waiting, frozen=True):
    """`project`: as in MAP=, the ending of the file may be left out; all where it is not given."""

    project: str | None = None


class Purge(Command[PurgeArguments]):
    """Answer no more from what is kept, of a project or of all: the next request goes to a worker.

    For data that have changed while the project has not. When it returns no old answer is given any more.
    """

    name = "purge"
    help = "forget the answers that are kept, of a project or of all"
    arguments = PurgeArguments

    async def run(self, operations: Operations, args: PurgeArguments, progress: Progress) -> dict[str, Any]:
        return await operations.purge(args.project, wait=args.wait, progress=progress)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        offer(
            parser.add_argument("project", nargs="?", metavar="PROJECT", help="as in MAP=; else all"),
            "projects",
        )
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        return f"{result['status']}: {', '.join(result['projects']) or 'nothing was kept'}"
