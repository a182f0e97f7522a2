# SPDX-License-Identifier: GPL-2.0-or-later
"""The command about requests in quarantine."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from qgsd.control.commands.base import Arguments, Command
from qgsd.control.operations import Operations, Progress
from qgsd.control.records import QuarantineRecord

if TYPE_CHECKING:
    from rich.console import RenderableType


class QuarantineArguments(Arguments, frozen=True):
    """`action`: "clear" lets all requests out."""

    action: Literal["clear"] | None = None


class Quarantine(Command[QuarantineArguments]):
    """Requests that crashed QGIS twice and are not run for a while, each as it can be asked again.

    With `clear` all are let out: they are run again when they come.
    """

    name = "quarantine"
    help = "list the requests that crash QGIS, or let them out (clear)"
    arguments = QuarantineArguments

    def changes(self, args: QuarantineArguments) -> bool:
        return args.action is not None

    async def run(
        self, operations: Operations, args: QuarantineArguments, progress: Progress
    ) -> list[QuarantineRecord]:
        if args.action == "clear":
            operations.clear_quarantine()
            return []
        return operations.quarantine()

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=["clear"], help="let all of them out")

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.quarantine(msgspec.convert(result, list[QuarantineRecord]))
