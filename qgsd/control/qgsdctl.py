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
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from qgsd import __version__
from qgsd.control import tables
from qgsd.control.client import Client
from qgsd.control.commands import COMMANDS, Command, unknown_command
from qgsd.control.errors import ControlError
from qgsd.control.locate import find_control
from qgsd.control.operations import Progress, Refused
from qgsd.control.records import EventRecord

PROG = "qgsdctl"
DEFAULT_TIMEOUT = 60.0
INTERRUPTED = 130
_WIDE = 10_000
"""Columns when nobody looks: nothing is wrapped or cut in a pipe."""

_EPILOG = """\
Without --control and --instance it finds the local instance: 'qgsd' if that runs, else the
only one that does. Instances are looked for in /run/qgsd as root, otherwise in
$XDG_RUNTIME_DIR/qgsd.

A command returns when its effect is there, with --no-wait when it is accepted.
`qgsdctl COMMAND --help` says more about one.

exit status: 0 done, 1 refused or failed, 2 usage, 3 no master answers

examples:
  qgsdctl scale +2                     two workers more; returns when they are ready
  qgsdctl reload town/sewers           switch to the new version of one project
  qgsdctl --json status | jq .state    for scripts
  qgsdctl events --follow              watch what happens
"""


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


# ------------------------------------------------------------------- command line


def parse(argv: list[str]) -> tuple[Command[Any], argparse.Namespace]:
    """The command and its options; exits (SystemExit) after help, or with 2 after a mistake.

    Two steps rather than argparse's subparsers: the global options may stand on both sides
    of the command, and a mistyped command gets a suggestion.
    """
    parser = main_parser()
    options = parser.parse_args(argv)
    name, *rest = options.command or [""]
    if name in ("", "help"):
        _help(parser, rest if name else None)
    command = COMMANDS.get(name)
    if command is None:
        parser.error(unknown_command(name))
    return command, command_parser(command).parse_args(rest, options)


def main_parser() -> argparse.ArgumentParser:
    """The parser of what stands before the command; its help lists all commands."""
    width = max(map(len, COMMANDS))
    listing = "".join(f"  {name:<{width}}  {command.help}\n" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [--control ADDRESS] [--instance NAME] [--json] [--timeout S] COMMAND ...",
        description=f"Look after a running qgsd.\n\ncommands:\n{listing}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(control=None, key_file=None, instance=None, json=False, timeout=DEFAULT_TIMEOUT)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    _declare_global(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def command_parser(command: Command[Any]) -> argparse.ArgumentParser:
    """The parser of what follows the command's name."""
    parser = argparse.ArgumentParser(
        prog=f"{PROG} {command.name}",
        description=command.describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.declare(parser)
    _declare_global(parser)
    return parser


def _declare_global(parser: argparse.ArgumentParser) -> None:
    # Without defaults: the command's parser must not undo what stood before the command.
    group = parser.add_argument_group("options of every command", argument_default=argparse.SUPPRESS)
    group.add_argument(
        "--control", metavar="ADDRESS", help="the control socket: ipc://PATH or tcp://HOST:PORT"
    )
    group.add_argument(
        "--key-file", metavar="PATH", help="the key of a control socket on TCP, where it wants one"
    )
    group.add_argument("--instance", metavar="NAME", help="which local instance, where several run")
    group.add_argument("--json", action="store_true", help="print one JSON document (events: one a line)")
    group.add_argument(
        "--timeout", metavar="S", type=_seconds, help=f"seconds a command may take ({DEFAULT_TIMEOUT:g})"
    )


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) <= 1e6:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def _help(parser: argparse.ArgumentParser, topic: list[str] | None) -> NoReturn:
    if topic is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    if not topic:
        parser.print_help()
        parser.exit(0)
    if topic[0] not in COMMANDS:
        parser.error(unknown_command(topic[0]))
    command_parser(COMMANDS[topic[0]]).print_help()
    parser.exit(0)


# ------------------------------------------------------------------------ running


def _run(command: Command[Any], options: argparse.Namespace) -> int:
    address = options.control or find_control(options.instance)
    if options.key_file:
        # For every client that this takes, also the one that waits for a departure.
        os.environ["QGSRV_CONTROL_KEY_FILE"] = options.key_file
    with Client(address, options.timeout) as client:
        if command.streams(command.decode(command.wire(options))):
            return _follow(client, options)
        with _progress_line() as on_progress:
            result = command.perform(client, options, on_progress)
    if options.json:
        _print_result(command, result)
    else:
        _print_text(_rendered(command, result, accepted=getattr(options, "wait", True) is False))
    return command.exit_code(result)


def _follow(client: Client, options: argparse.Namespace) -> int:
    for event in client.events(follow=True):
        if options.json:
            _print_json(event)
        else:
            _print_text(tables.event(msgspec.convert(event, EventRecord)))
        sys.stdout.flush()
    return 0


def _rendered(command: Command[Any], result: Any, *, accepted: bool) -> RenderableType:
    try:
        return command.render_accepted(result) if accepted else command.render(result)
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


@contextlib.contextmanager
def _progress_line() -> Iterator[Progress]:
    """A callback that shows progress in one line of the terminal, if stderr is one."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        yield lambda report: None
        return
    line = console.status("")

    def show(report: dict[str, Any]) -> None:
        line.update(Text(progress_text(report)))
        line.start()

    try:
        yield show
    finally:
        line.stop()


def progress_text(report: dict[str, Any]) -> str:
    """A progress report in a line.

    >>> progress_text({"message": "starting", "done": 5, "total": 8})
    'starting (5 of 8)'
    """
    message = report.get("message")
    numbers = "done" in report and "total" in report
    if not isinstance(message, str):
        rest = {key: value for key, value in report.items() if not (numbers and key in ("done", "total"))}
        message = " ".join(f"{key} {value}" for key, value in rest.items())
    tail = f" ({report['done']} of {report['total']})" if numbers else ""
    return tables.clean(f"{message}{tail}".strip())


def _forget_stdout() -> None:
    """Have the interpreter's last flush go nowhere: whoever read the pipe has had enough."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
