# SPDX-License-Identifier: GPL-2.0-or-later
"""The command about requests that wait and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from qgsd.control.commands.base import Arguments, Command
from qgsd.control.operations import Operations, Progress
from qgsd.control.records import QueueRecord

if TYPE_CHECKING:
    from rich.console import RenderableType


class Queue(Command[Arguments]):
    """The requests that have not ended, by project: how many wait for a worker, how many run.

    OLDEST is the time that the one has waited which has waited longest. NESTED are those that projects
    have asked of this very server.
    """

    name = "queue"
    looks = True
    help = "show who waits for a worker, by project"
    arguments = Arguments

    async def run(self, operations: Operations, args: Arguments, progress: Progress) -> list[QueueRecord]:
        return await operations.queue()

    # -------------------------------------------------------------- in qgsdctl

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.queue(msgspec.convert(result, list[QueueRecord]))
