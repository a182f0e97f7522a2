# SPDX-License-Identifier: GPL-2.0-or-later
"""A command line as its parser knows it: commands, and the arguments of each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

# What every command has, and is told of once.
_OF_ALL = (argparse._HelpAction, argparse._VersionAction)


@dataclass(frozen=True)
class Argument:
    """`names`: the flags, none of an argument that has its place; `value`: what follows them."""

    names: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True)
class CommandLine:
    """One command, or the program itself."""

    name: str
    help: str
    description: str
    arguments: tuple[Argument, ...]

    @property
    def usage(self) -> str:
        """The arguments that have their place, and whether there are options."""
        options = ["[options]"] if any(argument.names for argument in self.arguments) else []
        return " ".join([self.name, *options, *(a.value for a in self.arguments if not a.names)])


def commands(parser: argparse.ArgumentParser) -> Iterator[CommandLine]:
    """The program's own options first, then each command."""
    yield CommandLine(parser.prog, "", parser.description or "", tuple(_arguments(parser, ())))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {listed.dest: listed.help or "" for listed in action._get_subactions()}
            for name, line in action.choices.items():
                yield CommandLine(name, helps[name], line.description or "", tuple(_arguments(line, _OF_ALL)))


def _arguments(parser: argparse.ArgumentParser, without: tuple[type, ...]) -> Iterator[Argument]:
    for action in parser._actions:
        if isinstance(action, without):
            continue
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        help = (action.help or "").replace("%%", "%")
        yield Argument(tuple(action.option_strings), _value(action), help)


def _value(action: argparse.Action) -> str:
    if action.option_strings and action.nargs == 0:
        return ""
    named = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    return f"[{named}]" if action.nargs == "?" else str(named)
