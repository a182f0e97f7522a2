# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading an ini file: its entries as they stand, each with its line, and `${section:key}` within them.

The syntax is that of configparser with case-sensitive keys, inline comments (` #`, ` ;`), extended
interpolation and no DEFAULT section; the tests compare the two. One difference: in `a=#x #y ;z` the comment
starts at ` #`, which configparser overlooks.

configparser itself is not used because it forgets the lines, and an operator wants to be told
`qgsd.ini:12`: finding them again takes a reader of its own. Which sections and keys exist, and what their
values mean, is not known here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from .errors import ConfigError

_INLINE_COMMENT = re.compile(r"(^|(?<=\s))[#;].*")
_HEADER = re.compile(r"\[([^\[\]]+)\]")
_DELIMITER = re.compile(r"[=:]")
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[^{}]*)\}|)")

_LONGEST_VALUE = 65536


@dataclass(frozen=True)
class Entry:
    """`key = text` in a section, at a line of a file. The section is named as the file names it."""

    section: str
    key: str
    text: str
    file: str
    line: int

    def error(
        self, problem: str, found: str | None = None, allowed: str = "", instead: str = ""
    ) -> ConfigError:
        return ConfigError(
            problem,
            file=self.file,
            line=self.line,
            key=f"[{self.section}] {self.key}",
            found=self.text if found is None else found,
            allowed=allowed,
            instead=instead,
        )


@dataclass
class IniFile:
    """What stands in a file: the line of every section header, and the entries in order."""

    file: str
    sections: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)


def read(path: str) -> IniFile:
    """The contents of the ini file at `path`.

    :raises ConfigError: when it cannot be read, is no text file, or breaks the syntax.
    """
    return parse(_text_of(path), path)


def parse(text: str, file: str) -> IniFile:
    """The contents of an ini file whose text is given; `file` is its name for errors.

    >>> parse("[a]\\nb = c # d", "x.ini").entries
    [Entry(section='a', key='b', text='c', file='x.ini', line=2)]

    :raises ConfigError: when it breaks the syntax.
    """
    found = IniFile(file)
    # The indentation of the entry that a deeper indented line would continue.
    continues: int | None = None
    for number, line in _lines(text):
        content = _INLINE_COMMENT.sub("", line, count=1).strip()
        indent = len(line) - len(line.lstrip())
        if not content:
            continues = None
        elif continues is not None and indent > continues:
            found.entries[-1] = replace(found.entries[-1], text=f"{found.entries[-1].text}\n{content}")
        elif content.startswith("["):
            _add_section(found, content, number)
            continues = None
        else:
            _add_entry(found, content, number)
            continues = indent
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # str.splitlines would also split at form feeds and the like, which editors do not count as lines.
    return enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1)


def _add_section(found: IniFile, content: str, line: int) -> None:
    match = _HEADER.fullmatch(content)
    name = match[1].strip() if match else ""
    if not name:
        raise ConfigError(
            "bad section header", file=found.file, line=line, found=content, allowed="[section]"
        )
    if name in found.sections:
        raise ConfigError(
            f"section given twice, first in line {found.sections[name]}",
            file=found.file,
            line=line,
            key=f"[{name}]",
            found=content,
            allowed="one section of a name",
        )
    found.sections[name] = line


def _add_entry(found: IniFile, content: str, line: int) -> None:
    key, *text = (part.strip() for part in _DELIMITER.split(content, maxsplit=1))
    if not key or not text:
        raise ConfigError(
            "bad syntax", file=found.file, line=line, found=content, allowed="key=value or [section]"
        )
    if not found.sections:
        raise ConfigError(
            "key before any section", file=found.file, line=line, found=content, allowed="[section]"
        )
    section = list(found.sections)[-1]
    found.entries.append(Entry(section, key, text[0], found.file, line))


def _text_of(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError("not a file", file=path, allowed="an ini file")
        with open(path, "rb") as stream:
            data = stream.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot be read: {reason}", file=path, allowed="an ini file") from error
    if b"\0" in data:
        raise ConfigError("a binary file", file=path, allowed="an ini file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8", file=path, line=line, allowed="an ini file in UTF-8") from error


class Expander:
    """Puts values in the place of `${section:key}` and `${key}`; `$$` stands for `$`.

    :param lookup: the text of an option named in an entry, or the entry of the same file that gives it.
        :raises KeyError: when there is no such option.
    """

    def __init__(self, lookup: Callable[[str, str], str | Entry]) -> None:
        self._lookup = lookup
        self._done: dict[Entry, str] = {}
        self._open: list[Entry] = []

    def expand(self, entry: Entry) -> str:
        """The entry's text with everything put in its place.

        :raises ConfigError: for a lone `$`, an unknown option, options that refer to each other in a circle.
        """
        if entry in self._done:
            return self._done[entry]
        if entry in self._open:
            raise entry.error("refers to itself", allowed="references without a circle")
        self._open.append(entry)
        text = _REFERENCE.sub(lambda match: self._replacement(entry, match), entry.text)
        self._open.pop()
        if len(text) > _LONGEST_VALUE:
            raise entry.error("too long", allowed=f"up to {_LONGEST_VALUE} characters")
        self._done[entry] = text
        return text

    def _replacement(self, entry: Entry, match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["name"] is None:
            raise entry.error("lone $", allowed="${section:key}, or $$ for a $")
        section, _, key = match["name"].rpartition(":")
        try:
            found = self._lookup(section or entry.section, key)
        except KeyError:
            raise entry.error("no such option", match[0], "${section:key} of a known option") from None
        return self.expand(found) if isinstance(found, Entry) else found
