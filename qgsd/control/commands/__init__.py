# SPDX-License-Identifier: GPL-2.0-or-later
"""All control commands, in the order the help lists them.

A new command is a class in one of the modules here and an entry in `COMMANDS`; the
server, the client, qgsdctl and its help need no change.
"""

from __future__ import annotations

from typing import Any

from qgsd import arguments
from qgsd.control.commands.answers import Purge
from qgsd.control.commands.base import Command
from qgsd.control.commands.change import Kill, LogLevel, Reload, Restart, Scale, Set, Stop
from qgsd.control.commands.fleet import Drain
from qgsd.control.commands.look import Config, Events, Ping, Plugins, Ps, StatusCommand, Version
from qgsd.control.commands.poison import Quarantine
from qgsd.control.commands.projects import Evict, HoldCommand, Load, Pin, Projects, Release
from qgsd.control.commands.queue import Queue
from qgsd.control.commands.top import Top

__all__ = ["COMMANDS", "Command", "unknown_command"]

COMMANDS: dict[str, Command[Any]] = {
    command.name: command
    for command in (
        StatusCommand(),
        Ps(),
        Top(),
        Scale(),
        Reload(),
        Projects(),
        Load(),
        Evict(),
        Pin(),
        HoldCommand(),
        Release(),
        Purge(),
        Restart(),
        Drain(),
        Stop(),
        Kill(),
        Queue(),
        Quarantine(),
        Plugins(),
        Events(),
        Config(),
        Set(),
        LogLevel(),
        Ping(),
        Version(),
    )
}


def unknown_command(name: str) -> str:
    """The sentence for a command that does not exist, with the nearest one that does.

    >>> unknown_command("stauts")
    "there is no command 'stauts'; did you mean 'status'?"
    """
    return arguments.unknown_command(name, COMMANDS)
