# SPDX-License-Identifier: GPL-2.0-or-later
"""The fenced blocks of the documentation: what is run, what is not and why.

A block of commands is ```console. A line `$ COMMAND` is run; the lines below it are what it answers, where
figures may be others and … stands for anything. Where a block ends with … alone its last command goes on
running, until a block `^C` or the end of the page. `<!-- not run: REASON -->` before the fence keeps a block
from being run; `<!-- on: NAME NAME -->` has it run on other machines, by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

REASONS = (
    "needs systemd", "needs another server", "needs another machine", "needs another program",
    "needs the network", "takes minutes",
)  # fmt: skip
"""What may keep a command from being run here."""

INTERRUPT = "^C"

LANGUAGES = ("console", "ini", "text", "yaml", "json", "nginx", "apache", "python", "sql", "xml")

_FENCE = re.compile(r"^ *(?:```|~~~) *(\S*)$")
_MARK = re.compile(r"^<!-- (not run|on): (.+) -->$")
# Figures, also with their units, in parts, and as versions, times and addresses.
_FIGURE = re.compile(r"\d[\w.:%/-]*")
_COMMANDS = re.compile(
    r"^ *(\$ |# )?(sudo )?(qgsd|qgsdctl|make|curl|systemctl|apt-get|pip|qgisserver|docker|helm) "
)


@dataclass(frozen=True)
class Block:
    """`page`: its path in the checkout; `line`: where its fence opens, counted from 1; `reason`: why it
    is not run; `machines`: where it is, if not here."""

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    machines: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def has_commands(self) -> bool:
        return any(_COMMANDS.match(line) for line in self.text.splitlines())


@dataclass
class Step:
    """A command and what it is said to answer."""

    command: str
    answer: list[str] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """It is not waited for."""
        return self.answer[-1:] == ["…"] and len(self.answer) > 1

    @property
    def looks(self) -> bool:
        """It changes nothing, and what it is said to answer may become true a moment later."""
        return bool(self.answer) and self.command.startswith(("qgsdctl status", "qgsdctl events"))

    @property
    def expected(self) -> re.Pattern[str]:
        """The answer as a pattern."""
        return pattern("\n".join(self.answer))


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    opened: tuple[int, str, re.Match[str] | None] | None = None
    lines: list[str] = []
    mark: re.Match[str] | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number, fence[1], mark), []
        elif opened is not None and fence:
            where, language, said = opened
            kind, words = (said[1], said[2]) if said else ("", "")
            reason, machines = words * (kind == "not run"), words.split() * (kind == "on")
            page = str(path.relative_to(ROOT))
            yield Block(page, where, language, "\n".join(lines), reason, tuple(machines))
            opened = None
        elif opened is not None:
            lines.append(line)
        if opened is None:
            mark = _MARK.match(line.strip())


def steps(block: Block) -> list[Step]:
    """The commands of a block; a line that ends with a backslash goes on in the next."""
    found: list[Step] = []
    goes_on = False
    for line in block.text.splitlines():
        if goes_on:
            found[-1].command += "\n" + line
        elif line.startswith("$ ") or line == INTERRUPT:
            found.append(Step(line.removeprefix("$ ")))
        else:
            found[-1].answer.append(line)
        goes_on = line.endswith("\\") and (goes_on or line.startswith("$ "))
    return found


def pattern(answer: str) -> re.Pattern[str]:
    """What a documented answer stands for.

    >>> bool(pattern("up 3s … ok").fullmatch("up 1m02s and so on: ok"))
    True
    """
    parts: list[str] = []
    for piece in re.split(r"(…|\s+)", answer.strip()):
        if piece == "…":
            parts.append(".*?")
        elif piece.isspace():
            parts.append(r"\s+")
        else:
            figures = _FIGURE.split(piece)
            parts.append(r"\d[\w.:%/-]*".join(map(re.escape, figures)))
    return re.compile("".join(parts).replace(r"\s+.*?", r"\s*.*?").replace(r".*?\s+", r".*?\s*"), re.DOTALL)
