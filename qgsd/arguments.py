# SPDX-License-Identifier: GPL-2.0-or-later
"""What argparse says of a mistake, with the nearest thing that would have been right."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def unknown_command(name: str, known: Iterable[str]) -> str:
    """The sentence for a command that does not exist, with the nearest one that does.

    >>> unknown_command("strat", ["run", "start", "stop"])
    "there is no command 'strat'; did you mean 'start'?"
    """
    commands = list(known)
    near = get_close_matches(name, commands, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + ", ".join(commands)
    return f"there is no command {name[:40]!r}; {hint}"


def parse_strictly(
    parser: argparse.ArgumentParser, argv: Sequence[str], namespace: argparse.Namespace | None = None
) -> argparse.Namespace:
    """As `parser.parse_args`; an option that is not known gets a suggestion."""
    options, left = parser.parse_known_args(argv, namespace)
    if left:
        parser.error(unrecognized(parser, left))
    return options


def unrecognized(parser: argparse.ArgumentParser, left: Sequence[str]) -> str:
    """The sentence for words that a command line has too many."""
    words = [word.partition("=")[0] for word in left if word.startswith("-")]
    known = [text for action in parser._actions for text in action.option_strings]
    near = [match for word in words for match in get_close_matches(word, known, n=1)]
    return f"unrecognized arguments: {' '.join(left)}" + (f"; did you mean {near[0]}?" if near else "")
