# SPDX-License-Identifier: GPL-2.0-or-later
"""The one error of this package: what is wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_FOUND = 80


class ConfigError(Exception):
    """A configuration that cannot be used.

    `str()` gives one line for people; the attributes are the same facts for programs.

    >>> print(ConfigError("not allowed", file="q.ini", line=3, key="[server] port", found="x",
    ...                   allowed="a whole number"))
    q.ini:3: [server] port: not allowed; found 'x'; allowed: a whole number

    :param problem: what is wrong, in a few words.
    :param file: path of the configuration file, where the error is in one.
    :param line: line in that file, counted from 1.
    :param source: where the value came from when not from a file ("environment QGSRV_…", "command line").
    :param key: the option concerned, as "[section] key", or the section, or the command line flag.
    :param found: the text that is wrong.
    :param allowed: what may stand there instead.
    :param nearest: the known name that looks most like the one found.
    :param instead: what to use in its place, in words.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        source: str = "",
        key: str = "",
        found: str | None = None,
        allowed: str = "",
        nearest: str | None = None,
        instead: str = "",
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.source = source
        self.key = key
        self.found = found
        self.allowed = allowed
        self.nearest = nearest
        self.instead = instead
        super().__init__(problem)

    def __str__(self) -> str:
        where = [part for part in (self._place(), self.key) if part]
        said = [": ".join([*where, self.problem])]
        if self.found is not None:
            said.append(f"found {_quoted(self.found)}")
        if self.allowed:
            said.append(f"allowed: {self.allowed}")
        if self.nearest:
            said.append(f"did you mean {self.nearest}?")
        if self.instead:
            said.append(f"instead: {self.instead}")
        return _one_line("; ".join(said))

    def _place(self) -> str:
        if self.file is None:
            return self.source
        return self.file if self.line is None else f"{self.file}:{self.line}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is like it.

    >>> nearest("prot", ["port", "workers"])
    'port'
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_FOUND else text[:_LONGEST_FOUND] + "…")


def _one_line(text: str) -> str:
    # File names may hold anything but NUL: line feeds, and bytes that are not UTF-8.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
