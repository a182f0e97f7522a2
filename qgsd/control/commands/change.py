# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that change something: scale, reload, restart, stop, kill, set, log-level."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from qgsd.completion import offer
from qgsd.control.commands.base import Arguments, Command, Waiting, declare_wait
from qgsd.control.operations import Operations, Progress, Refused
from qgsd.control.protocol import ErrorCode
from qgsd.control.records import ReloadRecord, WorkerCounts

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qgsd.control.client import Client

MOST_WORKERS = 100_000

_CHANGE = re.compile(r"[+-]?[0-9]{1,6}")
_OF_MACHINE = r"^[^/\s]{1,64}/[0-9]{1,10}$"


class ScaleArguments(Waiting, frozen=True):
    """`workers`: how many, or by how many with `relative` true or as a string with a sign ("+2").

    `machine`: of the fleet of a proxy.
    """

    workers: Annotated[int, Meta(ge=-MOST_WORKERS, le=MOST_WORKERS)] | str
    relative: bool = False
    machine: str | None = None

    def change(self) -> tuple[int, bool]:
        """The number, and whether it is relative; raises `Refused` (bad_arguments).

        >>> ScaleArguments(workers="+2").change()
        (2, True)
        """
        workers, relative = self.workers, self.relative
        if isinstance(workers, str):
            if not _CHANGE.fullmatch(workers):
                raise Refused(ErrorCode.BAD_ARGUMENTS, "scale: workers is a number, +N or -N")
            relative = relative or workers[0] in "+-"
            workers = int(workers)
        if workers < 0 and not relative:
            raise Refused(ErrorCode.BAD_ARGUMENTS, "scale: there cannot be fewer than no workers")
        return workers, relative


class Scale(Command[ScaleArguments]):
    """Set the number of workers, or change it by +N or -N; on a proxy that of one of its machines.

    Returns when the new workers are ready, or the surplus ones have finished their
    requests and gone; no request is lost. The number holds until the master restarts.
    """

    name = "scale"
    help = "set the number of workers (N), or change it (+N, -N)"
    arguments = ScaleArguments

    async def run(self, operations: Operations, args: ScaleArguments, progress: Progress) -> dict[str, Any]:
        workers, relative = args.change()
        return await operations.scale(
            workers, relative=relative, wait=args.wait, progress=progress, machine=args.machine
        )

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("machine", metavar="MACHINE", nargs="?", help="of a proxy's fleet, see `status`")
        parser.add_argument(
            "workers", metavar="N|+N|-N", type=_worker_change, help="how many, or by how many"
        )
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.workers(msgspec.convert(result, WorkerCounts))


def _worker_change(text: str) -> str:
    if not _CHANGE.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not a number, +N or -N")
    return text


class ReloadArguments(Waiting, frozen=True):
    """`project`: the one to reload; without it all that are open, and the configuration."""

    project: str | None = None


class Reload(Command[ReloadArguments]):
    """Load the new version of a project (or of all, and the configuration) and switch to it.

    All workers switch at the same instant. A project whose new version does not load is
    not switched: the old one keeps serving, the reason is shown, and the exit status is 1.
    """

    name = "reload"
    help = "switch to the new version of a project, or of all of them and the configuration"
    arguments = ReloadArguments

    async def run(
        self, operations: Operations, args: ReloadArguments, progress: Progress
    ) -> list[ReloadRecord]:
        return await operations.reload(args.project, wait=args.wait, progress=progress)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        help = "as in MAP=; all if left out"
        offer(parser.add_argument("project", metavar="PROJECT", nargs="?", help=help), "projects")
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.reloads(msgspec.convert(result, list[ReloadRecord]))

    def exit_code(self, result: Any) -> int:
        return int(any(record.get("status") == "kept-old" for record in result))


class RestartArguments(Waiting, frozen=True):
    """`machine`: only that one of a proxy's fleet; `here`: none of the fleet."""

    machine: str | None = None
    here: bool = False


class Restart(Command[RestartArguments]):
    """Replace every child by a fresh process, one after the other, without losing a request.

    New code, plugins and QGIS libraries are picked up; the master itself stays. A proxy has its
    machines do the same, one after the other, unless --here is given; or only one, by its name.
    """

    name = "restart"
    help = "replace all children one after the other, losing no request"
    arguments = RestartArguments

    async def run(self, operations: Operations, args: RestartArguments, progress: Progress) -> dict[str, Any]:
        return await operations.restart(
            wait=args.wait, progress=progress, machine=args.machine, here=args.here
        )

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("machine", metavar="MACHINE", nargs="?", help="only this one of a proxy's fleet")
        parser.add_argument("--here", action="store_true", help="on a proxy: none of its machines")
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.outcome("restarted", result)


class StopArguments(Arguments, frozen=True):
    """`now`: end running requests instead of letting them finish."""

    now: bool = False


class Stop(Command[StopArguments]):
    """Stop the instance: take no new requests, finish those that run, end.

    With --now requests that run are broken off. Returns when the master is gone.
    """

    name = "stop"
    help = "stop the instance when its requests are done, or --now"
    arguments = StopArguments

    async def run(self, operations: Operations, args: StopArguments, progress: Progress) -> dict[str, Any]:
        return await operations.stop(now=args.now)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="break off the requests that run")
        declare_wait(parser)

    def perform(self, client: Client, options: Namespace, on_progress: Progress) -> Any:
        from qgsd.control.departure import stop_and_wait

        return stop_and_wait(client, self.wire(options), wait=options.wait, on_progress=on_progress)

    def render(self, result: Any) -> RenderableType:
        return f"qgsd (pid {result['pid']}) has stopped"

    def render_accepted(self, result: Any) -> RenderableType:
        return f"qgsd (pid {result['pid']}) is stopping"


class KillArguments(Waiting, frozen=True):
    """`target`: the slot of a worker, or the pid of any child; "MACHINE/SLOT" of one of a proxy's fleet."""

    target: Annotated[int, Meta(ge=0, lt=2**31)] | Annotated[str, Meta(pattern=_OF_MACHINE)]


class Kill(Command[KillArguments]):
    """Kill (SIGKILL) the worker in a slot, or the child with a pid; a fresh one takes its place.

    On a proxy MACHINE/SLOT or MACHINE/PID names one of its fleet.

    The request it was working on is tried once more on another worker, if it may be.
    """

    name = "kill"
    help = "kill a worker by slot, or any child by pid, and have it replaced"
    arguments = KillArguments

    async def run(self, operations: Operations, args: KillArguments, progress: Progress) -> dict[str, Any]:
        return await operations.kill(args.target, wait=args.wait)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        target = parser.add_argument("target", metavar="SLOT|PID", type=_target, help="see `qgsdctl ps`")
        offer(target, "slots")
        declare_wait(parser)

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.outcome("killed", result)


def _target(text: str) -> int | str:
    if re.fullmatch(_OF_MACHINE, text):
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise ArgumentTypeError(f"{text!r} is not the number of a slot or process")
    return int(text)


class SetArguments(Arguments, frozen=True):
    """`option`: its name, such as "server.timeout"; `value`: as it would stand in the file."""

    option: str
    value: str


class Set(Command[SetArguments]):
    """Give an option another value in the running instance, until the next reload or restart.

    Only options that a reload can change; the others are named. Nothing is written to the file.
    """

    name = "set"
    help = "change an option until the next reload or restart"
    arguments = SetArguments

    async def run(self, operations: Operations, args: SetArguments, progress: Progress) -> dict[str, Any]:
        return await operations.set_option(args.option, args.value)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        offer(parser.add_argument("option", metavar="SECTION.KEY", help="see `qgsdctl config`"), "options")
        parser.add_argument("value", metavar="VALUE", help="as it would stand in the file")

    def render(self, result: Any) -> RenderableType:
        return f"{result['option']} = {result['value']}"


Level = Literal["debug", "info", "warning", "error"]


class LogLevelArguments(Arguments, frozen=True):
    """`level`: what is logged from now on, until the next reload of the configuration."""

    level: Level


class LogLevel(Command[LogLevelArguments]):
    """Log more or less from now on, in the master and all children, without a restart."""

    name = "log-level"
    help = "log more or less from now on: debug, info, warning, error"
    arguments = LogLevelArguments

    async def run(
        self, operations: Operations, args: LogLevelArguments, progress: Progress
    ) -> dict[str, Any]:
        return await operations.log_level(args.level)

    # -------------------------------------------------------------- in qgsdctl

    def declare(self, parser: ArgumentParser) -> None:
        levels = ["debug", "info", "warning", "error"]
        parser.add_argument("level", metavar="LEVEL", type=str.lower, choices=levels, help=", ".join(levels))

    def render(self, result: Any) -> RenderableType:
        from qgsd.control import tables

        return tables.outcome("log level set", result)
