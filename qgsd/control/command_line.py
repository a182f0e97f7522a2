# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of qgsdctl: parsers made of the commands' own declarations."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, NoReturn

from qgsd import __version__, completion
from qgsd.arguments import parse_strictly
from qgsd.control.commands import COMMANDS, Command, unknown_command

PROG = "qgsdctl"
DEFAULT_TIMEOUT = 60.0

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


def parse(argv: list[str]) -> tuple[Command[Any] | None, argparse.Namespace]:
    """The command (None for `completion`) and its options.

    Exits (SystemExit) after help, or with 2 after a mistake.

    Two steps rather than argparse's subparsers: the global options may stand on both sides
    of the command, and a mistyped command gets a suggestion.
    """
    parser = main_parser()
    options = parse_strictly(parser, argv)
    name, *rest = options.command or [""]
    if name in ("", "help"):
        _help(parser, rest if name else None)
    if name == "completion":
        line = completion_parser()
        options = line.parse_args(rest, options)
        if not (options.shell or options.live):
            line.error(f"say for which shell: {', '.join(completion.SHELLS)}")
        return None, options
    command = COMMANDS.get(name)
    if command is None:
        parser.error(unknown_command(name))
    return command, parse_strictly(command_parser(command), rest, options)


def main_parser() -> argparse.ArgumentParser:
    """The parser of what stands before the command; its help lists all commands."""
    listed = [(command.name, command.help) for command in COMMANDS.values()]
    listed.append(("completion", completion.HELP))
    width = max(len(name) for name, _ in listed)
    listing = "".join(f"  {name:<{width}}  {help}\n" for name, help in listed)
    parser = _bare_parser(f"Look after a running qgsd.\n\ncommands:\n{listing}")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def whole_parser(*, long: bool = False) -> argparse.ArgumentParser:
    """All that can be typed, a subparser for each command: for completion and (`long`) for manuals."""
    parser = _bare_parser("Look after a running qgsd.")
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS.values():
        line = commands.add_parser(
            command.name, help=command.help, description=command.describe() if long else command.help
        )
        command.declare(line)
        _declare_global(line)
    line = commands.add_parser("completion", help=completion.HELP, description=completion.DESCRIPTION)
    completion.declare(line)
    return parser


def _bare_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [--control ADDRESS] [--instance NAME] [--json] [--timeout S] COMMAND ...",
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(control=None, key_file=None, instance=None, json=False, timeout=DEFAULT_TIMEOUT)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    _declare_global(parser)
    return parser


def command_parser(command: Command[Any]) -> argparse.ArgumentParser:
    """The parser of what follows the command's name."""
    parser = _parser_after(command.name, command.describe())
    command.declare(parser)
    _declare_global(parser)
    return parser


def completion_parser() -> argparse.ArgumentParser:
    """The parser of what follows `completion`."""
    parser = _parser_after("completion", completion.DESCRIPTION.replace("COMMAND", PROG))
    completion.declare(parser)
    return parser


def _parser_after(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"{PROG} {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _declare_global(parser: argparse.ArgumentParser) -> None:
    # Without defaults: the command's parser must not undo what stood before the command.
    group = parser.add_argument_group("options of every command", argument_default=argparse.SUPPRESS)
    group.add_argument(
        "--control", metavar="ADDRESS", help="the control socket: ipc://PATH or tcp://HOST:PORT"
    )
    completion.offer(
        group.add_argument(
            "--key-file", metavar="PATH", help="the key of a control socket on TCP, where it wants one"
        ),
        completion.FILE,
    )
    completion.offer(
        group.add_argument("--instance", metavar="NAME", help="which local instance, where several run"),
        "instances",
    )
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
    if topic[0] == "completion":
        completion_parser().print_help()
        parser.exit(0)
    if topic[0] not in COMMANDS:
        parser.error(unknown_command(topic[0]))
    command_parser(COMMANDS[topic[0]]).print_help()
    parser.exit(0)
