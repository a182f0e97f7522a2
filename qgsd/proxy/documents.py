# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking into XML that clients send, before QGIS does: DTDs, and what it refers to. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

_PIECE = 4096
# Where a picture in a style may come from without leaving the server's own pictures or the document itself.
_WITHIN = re.compile(r"(?!.*(?:^|[/\\])\.\.(?:[/\\]|$))[^/\\:][^:]*|ttf://[^/]*|#.*", re.DOTALL)
_EMBEDDED = re.compile(r"(?:base64:|data:[^,]*?(;base64)?,)(.*)", re.DOTALL | re.IGNORECASE)
_REFERENCE = re.compile(
    rb"href\s*+=\s*+(?:[\"']\s*+)?+(?!#|data:)|url\s*+\(\s*+(?:[\"']\s*+)?+(?!#)|<!DOCTYPE[^>]*\[",
    re.IGNORECASE,
)


class Unreadable(ValueError):
    """The document is no XML."""


def declares_entities(document: bytes) -> bool:
    """Whether it has a document type, or might have one: entities make much of little, and read files.

    Without its zero bytes a document in UTF-16 or UTF-32 spells it as any other one does.
    """
    plain = document.replace(b"\0", b"")
    if b"<!DOCTYPE" not in plain and b"<!ENTITY" not in plain:
        return False
    seen: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: seen.append("doctype")
    parser.StartElementHandler = lambda *_: seen.append("element")
    try:
        for start in range(0, len(document), _PIECE):
            parser.Parse(document[start : start + _PIECE], False)
            if seen:
                return seen[0] == "doctype"
    except (expat.ExpatError, LookupError, ValueError):
        return "element" not in seen[:1]
    return True


def functions_of(document: bytes) -> list[str]:
    """The functions that its filters call, in small letters. Raises `Unreadable`."""
    if b"Function" not in document.replace(b"\0", b""):
        return []
    found: list[str] = []

    def element(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "Function":
            found.extend(
                value.strip().casefold() for key, value in attributes.items() if key.endswith("name")
            )

    _parse(document, element)
    return found


def references_of(document: bytes) -> list[str]:
    """What a style refers to outside of itself and of the pictures that the server has by name.

    Raises `Unreadable`.
    """
    found: list[str] = []

    def element(name: str, attributes: dict[str, str]) -> None:
        found.extend(value for key, value in attributes.items() if key.rpartition(":")[2] == "href")

    _parse(document, element)
    return [reference for reference in found if not _is_within(reference.strip())]


def _is_within(reference: str) -> bool:
    embedded = _EMBEDDED.fullmatch(reference)
    if embedded is None:
        return not reference or bool(_WITHIN.fullmatch(reference))
    try:
        content = unquote_to_bytes(embedded[2])
        if embedded[1] or reference[:5].lower() != "data:":
            content = base64.b64decode(content)
    except (binascii.Error, ValueError):
        return False
    # A drawing may refer to others; one that is compressed does not show it.
    return not content.startswith(b"\x1f\x8b") and not _REFERENCE.search(content.replace(b"\0", b""))


def _parse(document: bytes, element: Callable[[str, dict[str, str]], None]) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = element
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise Unreadable(str(error)) from error
