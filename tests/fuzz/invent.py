# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the right form with wrong values in them, which decoding lets pass."""

from __future__ import annotations

import random
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from qgsd import messages

_INTEGERS = [0, 1, -1, 2, 255, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1]
_FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")]
# A few that come again, so that messages speak of each other.
_TEXTS = [
    "",
    "a",
    "b",
    "world",
    "world.qgs",
    "../x",
    "\0",
    "é\N{RIGHT-TO-LEFT OVERRIDE}",
    "x" * 300,
    "1-2-3",
    "WMS",
]

_SCALARS: dict[Any, Callable[[random.Random], Any]] = {
    str: lambda random_: random_.choice(_TEXTS),
    bytes: lambda random_: random_.randbytes(random_.choice([0, 1, 30])),
    int: lambda random_: random_.choice(_INTEGERS),
    float: lambda random_: random_.choice(_FLOATS),
    bool: lambda random_: random_.random() < 0.5,
    type(None): lambda random_: None,
}


def _value(hint: Any, random_: random.Random) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint](random_)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _message(hint, random_)
    if origin is typing.Literal:
        return random_.choice(arguments)
    if origin is list:
        return [_value(arguments[0], random_) for _ in range(random_.choice([0, 1, 3]))]
    if origin is tuple:
        return tuple(_value(part, random_) for part in arguments)
    if origin is dict:
        return dict(tuple(_value(part, random_) for part in arguments) for _ in range(random_.choice([0, 2])))
    return _value(random_.choice(arguments), random_)


def _message(kind: type[Struct], random_: random.Random) -> Struct:
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hint, random_) for name, hint in hints.items()})


def invented(union: Any, random_: random.Random) -> Iterator[bytes]:
    """Without end: messages of a vocabulary, encoded; every third one damaged."""
    kinds = typing.get_args(union)
    while True:
        try:
            data = bytearray(messages.encode(_message(random_.choice(kinds), random_)))
        except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError):
            continue
        if random_.random() < 1 / 3:
            data[random_.randrange(len(data))] = random_.randrange(256)
        yield bytes(data)
