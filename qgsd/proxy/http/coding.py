# SPDX-License-Identifier: GPL-2.0-or-later
"""Compressed answers: which coding a client takes, what is worth it, and the compressing itself.

The levels are cheap ones: on QGIS's XML and GeoJSON they cost about 7 ms for each megabyte and leave a tenth.
Brotli is both quicker and better than gzip there, so it is preferred where a client takes both.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

import brotli

# Less is compressed sooner than handed to a thread.
_AT_ONCE = 8192
# Below that the headers would eat up the gain.
WORTHWHILE = 1024
_GZIP_LEVEL = 4
_BROTLI_QUALITY = 3
_CODINGS = ("br", "gzip")
_TEXTLIKE = (
    "text/", "application/json", "application/xml", "application/javascript", "application/geo+json",
    "application/vnd.ogc.", "application/vnd.geo+json", "application/dxf", "image/svg", "image/vnd.dxf",
)  # fmt: skip


def is_textlike(content_type: str) -> bool:
    """Whether bodies of this type become much smaller.

    >>> [is_textlike(t) for t in ("text/xml; charset=utf-8", "application/schema+json", "image/png", "")]
    [True, True, False, False]
    """
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith(_TEXTLIKE) or kind.endswith(("+xml", "+json"))


def accepted(accept_encoding: str) -> str:
    """The coding to use for a client that says this: `br`, `gzip`, or none.

    >>> [accepted(a) for a in ("gzip, br", "gzip;q=1.0, br;q=0.5", "*", "gzip;q=0, *", "gzip;q=0", "")]
    ['br', 'gzip', 'br', 'br', '', '']
    >>> accepted("identity, gzip;q=0.5"), accepted("x-gzip"), accepted("gzip;q=x")
    ('', 'gzip', '')
    """
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights["gzip" if name == "x-gzip" else name] = float(weight)
        except ValueError:
            continue
    rest = weights.get("*", 0.0)
    found = {coding: weights.get(coding, rest) for coding in _CODINGS}
    best = max(found, key=found.__getitem__)
    # Without a word about identity it is what is left when nothing else will do (RFC 9110, 12.5.3).
    return best if found[best] > 0 and found[best] >= weights.get("identity", 0.0) else ""


class Encoder(Protocol):
    """Compresses one body. What a piece gives can be read at once, without those that follow."""

    def piece(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._zlib = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def piece(self, data: bytes) -> bytes:
        return self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._zlib.flush()


class _Brotli:
    def __init__(self) -> None:
        self._brotli = brotli.Compressor(quality=_BROTLI_QUALITY)

    def piece(self, data: bytes) -> bytes:
        return bytes(self._brotli.process(data) + self._brotli.flush())

    def end(self) -> bytes:
        return bytes(self._brotli.finish())


def encoder(coding: str) -> Encoder:
    """For `br` or `gzip`."""
    return _Brotli() if coding == "br" else _Gzip()


def encode(body: bytes, coding: str) -> bytes:
    """A whole body at once."""
    if coding == "br":
        return bytes(brotli.compress(body, quality=_BROTLI_QUALITY))
    return zlib.compress(body, _GZIP_LEVEL, 16 + zlib.MAX_WBITS)


async def compressed(body: bytes, how: str) -> bytes:
    """The same without holding up the loop."""
    if len(body) <= _AT_ONCE:
        return encode(body, how)
    return await asyncio.to_thread(encode, body, how)
