# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that shows a running instance live."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

import msgspec

from qgsd.control.commands.base import Arguments, Command
from qgsd.control.operations import Operations, Progress, Refused
from qgsd.control.records import Snapshot

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qgsd.control.client import Client


class Top(Command[Arguments]):
    """Processes, queue and rates, anew every few seconds, as long as you look.

    Answers and failures a second, requests that wait and the share of the workers' time that is spent at work
    are drawn for the last five minutes. Keys: c, m, r, a sort by processor, memory, requests, age of the
    request; s by slot again; k and a slot or pid kills, after a question; q ends. Where nobody looks (a pipe,
    --json) it tells once.
    """

    name = "top"
    looks = True
    help = "watch processes, queue and rates live"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> Snapshot:
        try:
            queue = await operations.queue()
        except Refused:
            # The workers of a proxy have no queue.
            queue = []
        return Snapshot(operations.status(), await operations.processes(), queue)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "-i", "--interval", type=float, default=2.0, metavar="S", help="seconds between two looks (2)"
        )

    def perform(self, client: Client, options: Namespace, on_progress: Progress) -> Any:
        if options.json or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return client.call(self.name)
        from qgsd.control import top

        return top.watch(client, max(0.2, options.interval))

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import top_view

        return top_view.View().show(msgspec.convert(result, Snapshot))
