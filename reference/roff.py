# SPDX-License-Identifier: GPL-2.0-or-later
"""Text as troff with the man macros (man(7)): what of it manual pages need."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
_TYPOGRAPHY = {"…": "...", "·": r"\(bu", "–": r"\(en", "×": r"\(mu"}


def text(plain: str) -> str:
    r"""Plain text, so that nothing of it is a command.

    >>> text("a-b\\n")
    'a\\-b\\en'
    """
    return "".join(_SPECIAL.get(letter) or _TYPOGRAPHY.get(letter, letter) for letter in plain)


def prose(markdown: str) -> str:
    """Words between backticks are bold; a line never begins with what troff takes for a command.

    >>> prose("see `qgsd check`")
    'see \\\\fBqgsd check\\\\fR'
    """
    parts = re.split(r"`([^`]+)`", markdown)
    return _line("".join(bold(part) if number % 2 else text(part) for number, part in enumerate(parts)))


def bold(plain: str) -> str:
    return rf"\fB{text(plain)}\fR"


def italic(plain: str) -> str:
    return rf"\fI{text(plain)}\fR"


def title(name: str, section: int, about: str) -> list[str]:
    """The first lines of a page: without a date, so that it changes only when it says something else."""
    return [rf'.TH {name.upper()} {section} "" qgsd "{about}"', ".nh", ".ad l"]


def heading(words: str) -> list[str]:
    return [f".SH {words}"]


def subheading(words: str) -> list[str]:
    return [f".SS {words}"]


def paragraphs(markdown: str) -> list[str]:
    """Paragraphs parted by empty lines; indented ones stay as they are."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", markdown.strip("\n")):
        lines.append(".PP")
        if all(line.startswith("  ") for line in block.splitlines()):
            lines += literal(block)
        else:
            lines += [prose(line.strip()) for line in block.splitlines()]
    return lines


def literal(block: str) -> list[str]:
    """Text as it stands."""
    return [".nf", *(_line(text(line)) for line in block.splitlines()), ".fi"]


def tagged(tag: str, lines: Iterable[str]) -> list[str]:
    """An entry of a list; `tag` is troff already."""
    return [".TP", _line(tag), *lines]


def page(lines: Iterable[str]) -> str:
    # A paragraph behind a heading is there already.
    kept: list[str] = []
    for line in lines:
        if line == ".PP" and kept and kept[-1].startswith((".SH", ".SS")):
            continue
        kept.append(line)
    return "\n".join(kept) + "\n"


def _line(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line
