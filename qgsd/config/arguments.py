# SPDX-License-Identifier: GPL-2.0-or-later
"""Command line flags, made from the declarations; what they give stays text until `load` checks it."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import Any

from qgsd import completion

from .catalogue import declarations, named
from .declaration import RUN, STOP, WORKER, Declaration
from .errors import ConfigError
from .kinds import Boolean, List, Path, Paths
from .loading import COMMAND_LINE

# The commands of qgsd, by the group whose flags they have.
_GROUPS = {
    "run": RUN,
    "start": RUN,
    "demo": RUN,
    "worker": WORKER,
    "stop": STOP,
    "restart": STOP,
    "status": STOP,
    "check": RUN,
}

_DEST = "qgsd_overrides"

_COMPLETIONS: dict[type, str] = {Path: completion.FILE, Paths: completion.DIRECTORY}


def add_flags(
    parser: argparse.ArgumentParser, command: str = "run", only: Collection[str] | None = None
) -> None:
    """Give `parser` the option flags of a command of qgsd.

    :param command: "run", "start", "demo", "worker", "stop", "restart", "status" or "check".
    :param only: leave out all options but these ("server.port"); None for all.
    :raises KeyError: for another command.
    """
    group = _GROUPS[command]
    for declared in declarations():
        if not declared.flags or group not in declared.commands:
            continue
        if only is not None and declared.name not in only:
            continue
        yes = isinstance(declared.kind, Boolean)
        action = parser.add_argument(
            *declared.flags,
            action=_Override,
            option=declared,
            dest=_DEST,
            nargs=0 if yes else None,
            metavar=None if yes else declared.metavar,
            help=_help(declared),
        )
        if completes := _COMPLETIONS.get(type(declared.kind)):
            completion.offer(action, completes)


def add_set_flag(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flag --set, which sets any option."""
    parser.add_argument(
        "--set",
        action=_Override,
        option=None,
        dest=_DEST,
        metavar="SECTION.KEY=VALUE",
        help="set any option, see qgsd config; may be repeated",
    )


def overrides_from(namespace: argparse.Namespace) -> dict[tuple[str, str], str]:
    """What flags and --set gave, as text, for `load`. Of several that set one option the last one wins.

    Flags of options that are lists add up: `-b 127.0.0.1 -b ::1`.

    :raises ConfigError: for a --set that names no option, or is not SECTION.KEY=VALUE.
    """
    given: dict[tuple[str, str], str] = {}
    flagged: set[tuple[str, str]] = set()
    for declared, text in getattr(namespace, _DEST, None) or []:
        if declared is None:
            target, value = _assignment(text)
            flagged.discard(target.id)
        else:
            target, value = declared, text
            if isinstance(declared.kind, List) and declared.id in flagged:
                value = f"{given[declared.id]},{text}"
            flagged.add(declared.id)
        given[target.id] = value
    return given


def _assignment(text: str) -> tuple[Declaration, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("no =", source=COMMAND_LINE, key="--set", found=text, allowed="SECTION.KEY=VALUE")
    return named(name.strip(), source=f"{COMMAND_LINE}: --set"), value


def _help(declared: Declaration) -> str:
    default = declared.show(declared.default)
    if not default or isinstance(declared.kind, Boolean):
        return _escaped(declared.help)
    return _escaped(f"{declared.help} (default: {default})")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


class _Override(argparse.Action):
    """Adds to one list, in the order of the command line, so that the last word wins."""

    def __init__(self, option: Declaration | None, **others: Any) -> None:
        super().__init__(**others)
        self._option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        text = values if isinstance(values, str) else "yes"
        so_far = getattr(namespace, self.dest, None) or []
        setattr(namespace, self.dest, [*so_far, (self._option, text)])
