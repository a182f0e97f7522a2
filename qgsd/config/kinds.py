# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of values an option can have.

A kind turns text into a value (`parse`), a value into text (`format`), and tells people what is allowed
(`describe`). It knows nothing of options, files or the environment. `parse(format(value))` is `value`.
Values are plain str, int, float, bool and tuples of str, so that settings travel through msgspec.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .forms import one_line

T = TypeVar("T")

DAY = 86400.0


class Kind(ABC, Generic[T]):
    """What the values of an option have in common."""

    @abstractmethod
    def parse(self, text: str, folder: str) -> T:
        """The value that `text` stands for.

        :param folder: where relative paths start: the folder of the file the text stands in, or the
            current directory.
        :raises ValueError: with a few words on what is wrong; `describe` says what is allowed.
        """

    @abstractmethod
    def format(self, value: T) -> str:
        """The text that `parse` makes this value of."""

    @abstractmethod
    def describe(self) -> str:
        """What is allowed, for people: the end of a sentence that starts with "allowed:"."""

    def show(self, value: T) -> str:
        """`format(value)` for people and logs, less what they must not see."""
        return self.format(value)

    @property
    def takes_empty(self) -> bool:
        """Whether the empty text is a value."""
        return False


@dataclass(frozen=True)
class Integer(Kind[int]):
    """A whole number within a range, both ends included."""

    minimum: int
    maximum: int

    def parse(self, text: str, folder: str) -> int:
        # int() also takes "8_080" and digits of other scripts; 18 digits keep within 64 bits.
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError("not a whole number")
        value = int(text)
        if not self.minimum <= value <= self.maximum:
            raise ValueError("out of range")
        return value

    def format(self, value: int) -> str:
        return str(value)

    def describe(self) -> str:
        return f"a whole number from {self.minimum} to {self.maximum}"


@dataclass(frozen=True)
class Number(Kind[float]):
    """A finite number from `minimum` (or `above` it) to `maximum`."""

    minimum: float
    maximum: float
    above: bool = False

    def parse(self, text: str, folder: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text.strip()):
            raise ValueError("not a number")
        value = float(text) + 0.0  # there is no negative zero
        if not (self.minimum <= value <= self.maximum) or (self.above and value == self.minimum):
            raise ValueError("out of range")
        return value

    def format(self, value: float) -> str:
        return str(int(value)) if value.is_integer() else repr(value)

    def describe(self) -> str:
        low = f"above {self.minimum:g}" if self.above else f"from {self.minimum:g}"
        return f"a number {low} to {self.maximum:.15g}"


@dataclass(frozen=True)
class Boolean(Kind[bool]):
    """Yes or no, in the spellings ini files know."""

    def parse(self, text: str, folder: str) -> bool:
        word = text.strip().lower()
        if word in ("yes", "true", "on", "1"):
            return True
        if word in ("no", "false", "off", "0"):
            return False
        raise ValueError("neither yes nor no")

    def format(self, value: bool) -> str:
        return "yes" if value else "no"

    def describe(self) -> str:
        return "yes or no (true/false, on/off, 1/0)"


@dataclass(frozen=True)
class Choice(Kind[str]):
    """One of a few words, in any case; the value is the word as declared."""

    words: tuple[str, ...]

    def parse(self, text: str, folder: str) -> str:
        for word in self.words:
            if text.strip().lower() == word.lower():
                return word
        raise ValueError("unknown word")

    def format(self, value: str) -> str:
        return value

    def describe(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True)
class Text(Kind[str]):
    """One line of text, without blanks around it.

    :param pattern: regular expression the whole text must match, where it is not free.
    :param what: that pattern in words.
    :param empty: whether the empty text is a value too.
    """

    pattern: str = r".*"
    what: str = "one line of text"
    empty: bool = False

    def parse(self, text: str, folder: str) -> str:
        value = one_line(text)
        if not value and self.empty:
            return value
        if not value:
            raise ValueError("empty")
        if not re.fullmatch(self.pattern, value):
            raise ValueError("not of the right form")
        return value

    def format(self, value: str) -> str:
        return value

    def describe(self) -> str:
        return f"{self.what}, or nothing" if self.empty else self.what

    @property
    def takes_empty(self) -> bool:
        return self.empty


@dataclass(frozen=True)
class Checked(Kind[str]):
    """One line of text in a form of its own.

    :param check: gives the text its final form, or raises ValueError.
    :param what: that form in words.
    """

    check: Callable[[str], str]
    what: str

    def parse(self, text: str, folder: str) -> str:
        return self.check(one_line(text))

    def format(self, value: str) -> str:
        return value

    def describe(self) -> str:
        return self.what


@dataclass(frozen=True)
class Path(Kind[str]):
    """The path of a file or folder: absolute, `~` expanded; it need not exist.

    :param words: texts with a meaning of their own ("-", "off") that stay as they are, in any case.
    :param empty: whether the empty text is a value too ("no file").
    """

    words: tuple[str, ...] = ()
    empty: bool = True

    def parse(self, text: str, folder: str) -> str:
        value = one_line(text)
        if not value and not self.empty:
            raise ValueError("empty")
        if not value:
            return value
        if value.lower() in self.words:
            return value.lower()
        return os.path.normpath(os.path.join(folder, os.path.expanduser(value)))

    def format(self, value: str) -> str:
        return value

    def describe(self) -> str:
        return ", ".join([*self.words, "a path"]) + (", or nothing" if self.empty else "")

    @property
    def takes_empty(self) -> bool:
        return self.empty


@dataclass(frozen=True)
class List(Kind[tuple[str, ...]]):
    """One or more items, separated by commas or line ends.

    :param item: gives an item its final form, or raises ValueError.
    :param what: one item in words, plural.
    :param empty: whether none at all is a value too.
    """

    item: Callable[[str], str]
    what: str
    empty: bool = False

    def parse(self, text: str, folder: str) -> tuple[str, ...]:
        items = _items(text)
        if not items and not self.empty:
            raise ValueError("empty")
        return tuple(self.item(part) for part in items)

    def format(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)

    def describe(self) -> str:
        return f"{self.what}, separated by commas" + (", or nothing" if self.empty else "")

    @property
    def takes_empty(self) -> bool:
        return self.empty


@dataclass(frozen=True)
class Paths(List):
    """Any number of paths of files or folders, in order; each as `Path` has it."""

    item: Callable[[str], str] = str
    what: str = "paths"
    empty: bool = True

    def parse(self, text: str, folder: str) -> tuple[str, ...]:
        return tuple(Path(empty=False).parse(part, folder) for part in _items(text))


def _items(text: str) -> list[str]:
    items = [one_line(part) for part in re.split(r",[^\S\n]*\n?|\n", text)]
    if items[-1] == "":
        items.pop()
    return items


@dataclass(frozen=True)
class Url(Kind[str]):
    """A URL; a password in it is not shown.

    :param check: raises ValueError with a few words where the URL is not of the right form.
    :param what: that form in words.
    """

    check: Callable[[str], object]
    what: str

    def parse(self, text: str, folder: str) -> str:
        value = one_line(text)
        if not value:
            raise ValueError("empty")
        self.check(value)
        return value

    def format(self, value: str) -> str:
        return value

    def show(self, value: str) -> str:
        """
        >>> Url(str, "any").show("postgresql://me:secret@host?password=secret&project=x")
        'postgresql://me:***@host?password=***&project=x'
        """
        return re.sub(r"(//[^/@?#]*?:)[^/?#]*@|(\bpassword=)[^&]*", _without_password, value, flags=re.I)

    def describe(self) -> str:
        return self.what


def _without_password(match: re.Match[str]) -> str:
    return f"{match[1]}***@" if match[1] else f"{match[2]}***"


_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True)
class Size(Kind[int]):
    """A number of bytes; K, M, G, T are powers of 1024, a B or iB behind them is ignored."""

    minimum: int = 1
    maximum: int = 1024**4

    def parse(self, text: str, folder: str) -> int:
        match = re.fullmatch(
            r"([0-9]{1,15})\s*(?:([KMGT])(?:i?B)?|B)?", text.strip(), re.IGNORECASE | re.ASCII
        )
        if match is None:
            raise ValueError("not a size")
        value = int(match[1]) * _UNITS[(match[2] or "").upper()]
        if not self.minimum <= value <= self.maximum:
            raise ValueError("out of range")
        return value

    def format(self, value: int) -> str:
        unit = max(
            (u for u in _UNITS if value and value % _UNITS[u] == 0), key=_UNITS.__getitem__, default=""
        )
        return f"{value // _UNITS[unit]}{unit}"

    def describe(self) -> str:
        return (
            f"a size from {self.format(self.minimum)} to {self.format(self.maximum)} (bytes, or with K, M, G)"
        )
