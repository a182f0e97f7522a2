# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged copies of good examples: what fuzzing sends, the same again for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

# Words that parsers stumble over.
_WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"%", b"%00", b"%2e%2e%2f", b"..", b"/", b"//", b"\\",
    b"&", b"=", b";", b"?", b"#", b"'", b'"', b"`", b"<", b">", b"]]>", b"&amp;", b"&x;",
    b"<!DOCTYPE a [", b"<![CDATA[", b"--", b"{", b"}", b"${", b"%(x)s", b"[", b"]", b"\xff", b"\xc3",
    b"\xed\xa0\x80", b"\xef\xbb\xbf", "é".encode(), "\N{RIGHT-TO-LEFT OVERRIDE}".encode(), b"-1", b"0",
    b"1", b"65536", b"2147483648", b"-2147483649", b"18446744073709551616", b"1e309", b"nan", b"inf",
    b"0x10", b"9" * 400, b"true", b"null", b"[]", b"{}", b"A" * 300, b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Host: y\r\n", b"0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"MAP=", b"SERVICE=", b"REQUEST=",
    b"file:", b"postgresql:", b"geopackage:", b"../../", b"[server]", b"\\u0000", b"\\ud800",
]  # fmt: skip
# A copy grows no further.
_LARGEST = 20_000

Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def _flip(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    for _ in range(random_.choice([1, 1, 2, 8])):
        data[random_.randrange(len(data))] = random_.randrange(256)


def _insert(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random_.randrange(len(data) + 1)
    data[at:at] = random_.choice(_WORDS)


def _replace(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random_.randrange(len(data))
    data[at : at + random_.randrange(1, 12)] = random_.choice(_WORDS)


def _cut(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random_.randrange(len(data))
    del data[at : at + random_.choice([1, 3, 20, 200])]


def _end(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[random_.randrange(len(data)) :]


def _repeat(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random_.randrange(len(data))
    piece = bytes(data[at : at + random_.randrange(1, 60)])
    data[at:at] = piece * random_.choice([1, 2, 40])


def _splice(random_: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = random_.choice(corpus)
    at, start = random_.randrange(len(data)), random_.randrange(len(other))
    data[at:] = other[start:]


_CHANGES: list[Change] = [_flip, _insert, _insert, _replace, _replace, _cut, _end, _repeat, _splice]


def examples(folder: str) -> list[bytes]:
    """The good ones, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / folder).iterdir())]


def damaged(corpus: Sequence[bytes], random_: random.Random) -> Iterator[bytes]:
    """Without end; one in ten is whole."""
    while True:
        data = bytearray(random_.choice(corpus))
        for _ in range(random_.choice([0, 1, 1, 1, 2, 2, 3, 4, 6, 10])):
            if not data:
                break
            random_.choice(_CHANGES)(random_, data, corpus)
        if data:
            yield bytes(data[:_LARGEST])
