# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command is: one class with its name, arguments, effect and text.

Two processes use it and neither uses all of it. Below the first fence is what the
master runs, below the second what qgsdctl runs; nothing of the second may be imported
by the master, so the tables (rich) are imported where they are drawn.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Struct

from qgsd.control.operations import Operations, Progress, Refused
from qgsd.control.protocol import ErrorCode

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qgsd.control.client import Client


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    """The `args` of a command on the wire; this one for commands that have none."""


class Waiting(Arguments, frozen=True, kw_only=True):
    """Arguments of a command with an effect: answer when it is there, or (`wait` false) when accepted."""

    wait: bool = True


A = TypeVar("A", bound=Arguments)


class Command(ABC, Generic[A]):
    """One control command; the docstring of a subclass is the long help of `qgsdctl COMMAND --help`."""

    name: ClassVar[str]
    help: ClassVar[str]
    """One line, without a full stop."""

    arguments: type[A]

    looks: ClassVar[bool] = False
    """Whether it only looks, whatever its arguments; only such commands are taken on a read-only socket."""

    # ----------------------------------------------------------- in the master

    @abstractmethod
    async def run(self, operations: Operations, args: A, progress: Progress) -> Any:
        """Do it and return what is to be answered; raises `Refused` when it cannot be done."""

    def decode(self, args: dict[str, Any]) -> A:
        """The typed arguments; raises `Refused` (bad_arguments) naming the one that is wrong."""
        try:
            return msgspec.convert(args, self.arguments)
        except msgspec.ValidationError as error:
            text = str(error).replace("$.", "")
            raise Refused(ErrorCode.BAD_ARGUMENTS, f"{self.name}: {text}") from None

    def changes(self, args: A) -> bool:
        """Whether it may change something."""
        return not self.looks

    def streams(self, args: A) -> bool:
        """Whether it goes on sending progress until the client has had enough.

        Such a command is given a `progress` that raises once the client has gone.
        """
        return False

    # -------------------------------------------------------------- in qgsdctl

    def describe(self) -> str:
        """The long help."""
        return inspect.getdoc(type(self)) or self.help

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the arguments of the command line, named as the fields of `arguments`."""

    def wire(self, options: Namespace) -> dict[str, Any]:
        """The `args` to send: those fields of `arguments` that the command line gave."""
        given = vars(options)
        fields = self.arguments.__struct_fields__
        return {name: given[name] for name in fields if given.get(name) is not None}

    def perform(self, client: Client, options: Namespace, on_progress: Progress) -> Any:
        """Ask, and return what `--json` prints. Raises `ControlError`."""
        return client.call(self.name, on_progress=on_progress, **self.wire(options))

    @abstractmethod
    def render(self, result: Any) -> RenderableType:
        """The result for a person. Raises `msgspec.ValidationError` if it is not as expected."""

    def show(self, result: Any, options: Namespace) -> RenderableType:
        """The same, where the command line says in which form."""
        return self.render(result)

    def render_accepted(self, result: Any) -> RenderableType:
        """The same with --no-wait."""
        return f"{self.name}: accepted"

    def exit_code(self, result: Any) -> int:
        """0 if what was asked for is so now, 1 if not."""
        return 0


def declare_wait(parser: ArgumentParser) -> None:
    """The option of every command with an effect to wait for."""
    parser.add_argument(
        "--no-wait", dest="wait", action="store_false", help="return when it is accepted, not when it is done"
    )
