# SPDX-License-Identifier: GPL-2.0-or-later
"""The command about the worker machines of a proxy."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from qgsd.control.commands.base import Command, Waiting, declare_wait
from qgsd.control.operations import Operations, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType


class DrainArguments(Waiting, frozen=True, kw_only=True):
    """`machine`: its name, as `status` tells it."""

    machine: str


class Drain(Command[DrainArguments]):
    """Have a machine of a proxy's fleet finish its requests and go; others take over what comes.

    No request is lost. The master of the machine ends, as by `qgsdctl stop` there: what started it
    (systemd, an orchestrator) decides whether it comes back.
    """

    name = "drain"
    help = "have a worker machine finish its requests and go"
    arguments = DrainArguments

    async def run(self, operations: Operations, args: DrainArguments, progress: Progress) -> dict[str, Any]:
        return await operations.drain(args.machine, wait=args.wait, progress=progress)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("machine", metavar="MACHINE", help="see `qgsdctl status`")
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        return f"{result['machine']} has finished and gone"
