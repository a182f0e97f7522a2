# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the head of a request, before anybody takes it apart. Pure.

Two servers in a row that disagree on where a request ends can be made to answer one client with what was
meant for another (request smuggling). So whatever leaves a doubt about that is refused here, also where
RFC 9112 would allow to guess: line ends other than CRLF, folded lines, more than one length, a length beside
chunks, codings other than `chunked`.
"""

from __future__ import annotations

import functools
import re

from qgsd.proxy.http.errors import HttpError

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# As many digits as a size can have: Python refuses to read endless numbers, and says so by an exception.
_LENGTH = re.compile(rb"[0-9]{1,15}")
_SHORT = 4096
_FRAMING = (b"content-length", b"transfer-encoding", b"host")


def flaw_of(head: bytes, longest_uri: int, largest_headers: int) -> HttpError | None:
    """Why a request of this head is refused; None for one that may go on.

    :param head: with the empty line at its end.
    :param longest_uri: in bytes.
    :param largest_headers: in bytes, without the request line.

    >>> flaw_of(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", 100, 100)
    >>> flaw_of(b"GET /" + bytes(100) + b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", 100, 100).status
    414
    """
    text = head.lstrip(b"\r\n")
    first, _, rest = text.partition(b"\r\n")
    parts = first.split(b" ")
    if max(map(len, parts)) > longest_uri:
        return HttpError(414, "uri_too_long", f"the address is longer than {longest_uri} bytes")
    if len(rest) > largest_headers:
        return HttpError(431, "headers_too_large", f"the headers exceed {largest_headers} bytes")
    ends = text.count(b"\r\n")
    if not text.count(b"\r") == text.count(b"\n") == ends or b"\0" in text:
        return _malformed("a line of the head does not end in CRLF, or has a character that ends none")
    if len(parts) != 3:
        return _malformed("the first line is not METHOD ADDRESS HTTP/1.1")
    try:
        framing = _framing_again(rest) if len(rest) <= _SHORT else _framing(rest)
    except ValueError as flaw:
        return _malformed(str(flaw))
    return _framing_flaw(parts[2], framing)


def _framing(lines: bytes) -> tuple[list[bytes], ...]:
    """The values of the headers that say where a request ends, and of Host. Raises ValueError."""
    found: dict[bytes, list[bytes]] = {name: [] for name in _FRAMING}
    for line in lines.split(b"\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise ValueError("a header is not NAME: VALUE on one line")
        if (known := name.lower()) in found:
            found[known].append(value.strip(b" \t"))
    return tuple(found.values())


# Clients repeat all lines but the first.
_framing_again = functools.lru_cache(maxsize=1000)(_framing)


def _framing_flaw(version: bytes, framing: tuple[list[bytes], ...]) -> HttpError | None:
    lengths, codings, hosts = framing
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        return _malformed("Content-Length must be one number of bytes")
    if codings and (lengths or version != b"HTTP/1.1"):
        return _malformed("Transfer-Encoding must not stand beside Content-Length, nor in HTTP/1.0")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        return _malformed("the only Transfer-Encoding known here is chunked")
    if len(hosts) > 1 or (not hosts and version != b"HTTP/1.0"):
        return _malformed("there must be one Host header")
    return None


def _malformed(why: str) -> HttpError:
    return HttpError(400, "malformed", why)
