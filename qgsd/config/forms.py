# SPDX-License-Identifier: GPL-2.0-or-later
"""Forms that a word of a value can have: each function gives it its final form or raises ValueError."""

from __future__ import annotations

import ipaddress
import re


def address(text: str) -> str:
    """An address to listen on: IPv4, IPv6 (brackets are taken off), a host name, or unix:/path.

    :raises ValueError: when it is none of these.

    >>> address("[::1]")
    '::1'
    """
    if text.startswith("unix:/") and len(text) > len("unix:/"):
        return text
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
        return bare
    except ValueError:
        # A name needs a letter: 1.2.3.4.5 is a slip of the pen, not a host.
        if bare == text and re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._-]{0,252}", text):
            return text
        raise ValueError(f"{text!r} is not an address") from None


def network(text: str) -> str:
    """An IP network, a single address, or `unix` for Unix sockets.

    :raises ValueError: when it is none of these.

    >>> network("10.0.0.0/8"), network("::1"), network("unix")
    ('10.0.0.0/8', '::1', 'unix')
    """
    if text == "unix":
        return text
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network") from None
    return text


def origin(text: str) -> str:
    """The origin of a web page, as browsers send it, or `*` for any.

    :raises ValueError: when it is neither.

    >>> origin("https://Maps.example:8443")
    'https://maps.example:8443'
    """
    value = text.lower()
    if text == "*" or re.fullmatch(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", value):
        return value
    raise ValueError(f"{text!r} is no origin: write SCHEME://HOST, without a path")


def header_prefix(text: str) -> str:
    """The beginning of an HTTP header's name, or `*` for any.

    :raises ValueError: when no name can begin like that.

    >>> header_prefix("X-Qgis-")
    'X-Qgis-'
    """
    if text == "*" or re.fullmatch(r"[A-Za-z0-9_-]+", text):
        return text
    raise ValueError(f"{text!r} is no beginning of a header's name")


def header_list(text: str) -> tuple[str, ...]:
    """Names of headers, separated by commas, in small letters; none for the word `nothing`.

    :raises ValueError: when it is not such a list.

    >>> header_list("X-User, X-Group"), header_list("nothing")
    (('x-user', 'x-group'), ())
    """
    words = [word.strip().lower() for word in text.split(",")]
    if words == ["nothing"]:
        return ()
    for word in words:
        if not re.fullmatch(r"[a-z0-9_-]+", word):
            raise ValueError(f"{word!r} is not the name of a header")
    return tuple(words)


def one_line(text: str) -> str:
    """`text` without the blanks around it.

    :raises ValueError: when it has control characters or line ends in it, or is not Unicode (which
        the environment and the command line may hold, but no message to a child can).
    """
    value = text.strip()
    if "\n" in value:
        raise ValueError("more than one line (an indented line belongs to the one before)")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("control characters")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise ValueError("not UTF-8")
    return value
