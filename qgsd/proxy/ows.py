# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading an OWS request as far as a proxy must: MAP, SERVICE, REQUEST, and whether it only reads.

Pure. QGIS parses the request itself; nothing here changes what it gets.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_to_bytes
from xml.parsers import expat

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_LOOK_AT = 16384
# Longer fields are not remembered, so that the memory for the others is bounded.
_SHORT = 200
# OGC requests that change data; all others may be run again when a worker is lost.
_WRITING = {"transaction", "lockfeature", "getfeaturewithlock"}
_READING_POSTS = {
    "getcapabilities", "getmap", "getfeature", "getfeatureinfo", "getlegendgraphic", "getlegendgraphics",
    "getprint", "getstyle", "getstyles", "describelayer", "describefeaturetype", "getcontext",
    "getprojectsettings", "getcoverage", "describecoverage", "gettile", "getschemaextension",
}  # fmt: skip


class MalformedRequest(ValueError):
    """The query or form cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class OwsRequest:
    """What the proxy knows of a request. Names are as the client wrote them, '' where absent.

    `pixels`: of the picture that is asked for, 0 where none is. `pairs`: all fields of query and body, their
    names in capitals.
    """

    map: str
    service: str
    operation: str
    idempotent: bool
    pixels: int = 0
    pairs: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)


def fields_of(query: str) -> dict[str, str]:
    """The fields of a query string by upper-case name; of repeated ones the last counts, as for QGIS.

    Raises `MalformedRequest`.
    """
    return _by_name(_pairs(query))


def read(method: str, query: str, content_type: str, body: bytes) -> OwsRequest:
    """What a request to `/ows/` asks for. Raises `MalformedRequest`."""
    asked = _pairs(query)
    fields = _by_name(asked)
    understood = True
    if method == "POST" and body:
        root, attributes = _root_element(body)
        form = _form(body, content_type) if not root else []
        # As QGIS does: a body that is no XML is a form, whatever its type, and what is posted counts more.
        # The root element names the operation: it decides, whatever the query says.
        found = {"REQUEST": root, "SERVICE": attributes.get("service", "")}
        fields |= _by_name(form) | {field: value for field, value in found.items() if value}
        asked += [*form, ("REQUEST", root), *((name.upper(), value) for name, value in attributes.items())]
        is_form = content_type.partition(";")[0].strip().lower() == _FORM
        understood = bool(root) or (is_form and not body.lstrip().startswith(b"<"))
    return OwsRequest(
        map=fields.get("MAP", ""),
        service=fields.get("SERVICE", ""),
        operation=fields.get("REQUEST", ""),
        idempotent=understood and _only_reads(method, asked),
        pixels=_pixels(fields),
        pairs=tuple(asked),
    )


def _pixels(fields: dict[str, str]) -> int:
    """As WIDTH and HEIGHT say; 0 where they make no sense, which is for QGIS to tell."""
    width, height = fields.get("WIDTH", ""), fields.get("HEIGHT", "")
    if not (width.isdecimal() and height.isdecimal() and len(width) < 7 and len(height) < 7):
        return 0
    return int(width) * int(height)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Name, in capitals, and value of each field. Raises `MalformedRequest`."""
    parts = query.split("&")
    if len(parts) > _MAX_FIELDS:
        raise MalformedRequest(f"the query cannot be read: it has more than {_MAX_FIELDS} fields")
    return [_field(part) if len(part) <= _SHORT else _read_field(part) for part in parts if part]


def _read_field(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return _decoded(name).upper(), _decoded(value)


# Clients repeat most of them while one changes, such as BBOX.
_field = functools.lru_cache(maxsize=1000)(_read_field)


def _decoded(text: str) -> str:
    """As `urllib.parse.parse_qsl` does it, in a third of the time."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    # Bytes that are no UTF-8 are replaced, as QGIS does; a project of such a name is not to be found.
    return unquote_to_bytes(text).decode("utf-8", "replace") if text.isascii() else unquote(text)


def _by_name(pairs: list[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if "\N{REPLACEMENT CHARACTER}" in fields.get("MAP", ""):
        raise MalformedRequest("MAP is not UTF-8")
    return fields


def _form(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """The fields of a body; none where it was not called a form and is none."""
    try:
        return _pairs(body.decode("utf-8", "replace"))
    except MalformedRequest:
        if content_type.partition(";")[0].strip().lower() == _FORM:
            raise
        return []


def _root_element(body: bytes) -> tuple[str, dict[str, str]]:
    """Local name and attributes of the first element; empty where none is found.

    By a real parser: a comment may hold what looks like one. Without namespaces, as QGIS reads it:
    an undeclared prefix is no error. Without entities: they can make much of little.
    """
    seen: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    parser.EntityDeclHandler = _refuse_entity
    # What is wrong behind the first element, or with the encoding, is for QGIS to say.
    with contextlib.suppress(expat.ExpatError, LookupError, ValueError):
        parser.Parse(body[:_LOOK_AT], False)
    name, attributes = seen[0] if seen else ("", {})
    return name.rpartition(":")[2], attributes


def _refuse_entity(*_: object) -> None:
    raise expat.ExpatError("entities are not read")


def _only_reads(method: str, asked: list[tuple[str, str]]) -> bool:
    """Whatever names an operation has a say, for QGIS does not choose among several as we do.

    It takes the last of repeated fields, and a posted one before that of the query; it reads a body
    as XML or as a form by what is in it, not by its type.
    """
    names = {value.lower() for field, value in asked if value and field == "REQUEST"}
    if names & _WRITING:
        return False
    return method in ("GET", "HEAD") or (method == "POST" and bool(names) and names <= _READING_POSTS)
