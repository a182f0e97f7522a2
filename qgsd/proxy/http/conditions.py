# SPDX-License-Identifier: GPL-2.0-or-later
"""Conditional and partial requests: entity tags and ranges (RFC 9110, 8.8, 13 and 14). Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def etag_of(body: bytes) -> str:
    """A strong tag of this very body.

    >>> etag_of(b"") == etag_of(b""), etag_of(b"") == etag_of(b"a")
    (True, False)
    """
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def with_coding(etag: str, coding: str) -> str:
    """The tag of the same content in another coding: other bytes, so another tag.

    >>> with_coding('"a1"', "gzip"), with_coding('W/"a1"', "gzip"), with_coding('"a1"', "")
    ('"a1-gzip"', 'W/"a1-gzip"', '"a1"')
    """
    return f'{etag[:-1]}-{coding}"' if coding and etag.endswith('"') else etag


def weakened(etag: str) -> str:
    """The tag as one of equal meaning, not of equal bytes.

    >>> weakened('"a1"'), weakened('W/"a1"')
    ('W/"a1"', 'W/"a1"')
    """
    return etag if etag.startswith("W/") else f"W/{etag}"


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the client has this already (`If-None-Match`, compared weakly). Nonsense does not match.

    >>> matches('W/"a", "b"', '"a"'), matches("*", '"a"'), matches('"b"', '"a"'), matches("a", '"a"')
    (True, True, False, False)
    """
    if if_none_match.strip() == "*":
        return True
    if _TAG.sub("", if_none_match).strip(", \t"):
        return False
    return _opaque(etag) in {_opaque(tag) for tag in _TAG.findall(if_none_match)}


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end`, without the last."""

    start: int
    end: int

    def header(self, length: int) -> str:
        """`Content-Range` of these bytes of `length`."""
        return f"bytes {self.start}-{self.end - 1}/{length}"


class Unsatisfiable(ValueError):
    """The range lies beyond the end: 416."""


def span_of(asked: str, if_range: str, length: int, etag: str) -> Span | None:
    """The part that `Range` asks for; None for the whole.

    The whole is the answer to several ranges at once, to what cannot be read, and where `If-Range` names
    another version: all that is allowed. Raises `Unsatisfiable`.

    >>> span_of("bytes=2-5", "", 10, ""), span_of("bytes=-3", "", 10, "")
    (Span(start=2, end=6), Span(start=7, end=10))
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None or (if_range and (if_range != etag or etag.startswith("W/"))):
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        if not int(last) or not length:
            raise Unsatisfiable(asked)
        return Span(max(0, length - int(last)), length)
    if last and int(last) < int(first):
        return None
    if int(first) >= length:
        raise Unsatisfiable(asked)
    return Span(int(first), min(length, int(last) + 1) if last else length)
