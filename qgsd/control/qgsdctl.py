# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsdctl: the control commands for people and shell scripts.

It knows no command: names, arguments, help and texts are those of the classes in
`qgsd.control.commands`. What is here is the frame: options, output, exit status.

Exit status: 0 done, 1 refused or failed, 2 usage, 3 no master answers (130 interrupted).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, RenderableType

from qgsd import completion
from qgsd.control import tables
from qgsd.control.client import Client
from qgsd.control.command_line import PROG, parse, whole_parser
from qgsd.control.commands import Command
from qgsd.control.errors import ControlError
from qgsd.control.locate import find_control
from qgsd.control.operations import Refused
from qgsd.control.progress import progress_line
from qgsd.control.records import EventRecord

INTERRUPTED = 130
_WIDE = 10_000
"""Columns when nobody looks: nothing is wrapped or cut in a pipe."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status and never raises for what a user can cause."""
    try:
        status = _main(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return status
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 0


def _main(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    command, options = parse(argv)
    if command is None:
        return _complete(options)
    try:
        return _run(command, options)
    except ControlError as error:
        if options.json:
            _print_json({"error": {"code": str(error.code), "message": error.message}})
        print(f"{PROG}: {tables.clean(error.message)}", file=sys.stderr)
        return error.exit_code
    except Refused as error:
        print(f"{PROG}: {tables.clean(error.message)}", file=sys.stderr)
        return 2


def _complete(options: argparse.Namespace) -> int:
    """`qgsdctl completion`: what a shell asks for."""
    if options.live:
        from qgsd.control.live import candidates

        for candidate in candidates(*options.live):
            print(candidate)
        return 0
    try:
        print(completion.script(whole_parser(), options.shell))
    except completion.Unavailable as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------------ running


def _run(command: Command[Any], options: argparse.Namespace) -> int:
    address = options.control or find_control(options.instance)
    if options.key_file:
        # For every client that this takes, also the one that waits for a departure.
        os.environ["QGSRV_CONTROL_KEY_FILE"] = options.key_file
    with Client(address, options.timeout) as client:
        if command.streams(command.decode(command.wire(options))):
            return _follow(client, options)
        with progress_line() as on_progress:
            result = command.perform(client, options, on_progress)
    if options.json:
        _print_result(command, result)
    else:
        _print_text(_rendered(command, result, options))
    return command.exit_code(result)


def _follow(client: Client, options: argparse.Namespace) -> int:
    for event in client.events(follow=True):
        if options.json:
            _print_json(event)
        else:
            _print_text(tables.event(msgspec.convert(event, EventRecord)))
        sys.stdout.flush()
    return 0


def _rendered(command: Command[Any], result: Any, options: argparse.Namespace) -> RenderableType:
    accepted = getattr(options, "wait", True) is False
    try:
        return command.render_accepted(result) if accepted else command.show(result, options)
    except (msgspec.ValidationError, KeyError, TypeError):
        # A master of another version: what it says is still better than nothing.
        return json.dumps(result, indent=2)


# ------------------------------------------------------------------------- output


def _print_result(command: Command[Any], result: Any) -> None:
    if command.name == "events":
        for event in result:
            _print_json(event)
    else:
        _print_json(result, indent=2)


def _print_json(document: Any, indent: int | None = None) -> None:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    print(json.dumps(document, indent=indent, ensure_ascii=not encoding.startswith("utf")))


def _print_text(text: RenderableType) -> None:
    if sys.stdout.isatty():
        Console(markup=False, emoji=False, highlight=False).print(text)
        return
    console = Console(markup=False, emoji=False, highlight=False, width=_WIDE)
    with console.capture() as capture:
        console.print(text)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _forget_stdout() -> None:
    """Have the interpreter's last flush go nowhere: whoever read the pipe has had enough."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
