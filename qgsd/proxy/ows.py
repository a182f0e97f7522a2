# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading an OWS request as far as a proxy must: MAP, SERVICE, REQUEST, and whether it only reads.

Pure. QGIS parses the request itself; nothing here changes what it gets.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from urllib.parse import parse_qsl
from xml.parsers import expat

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_LOOK_AT = 16384
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
    """What the proxy knows of a request. Names are as the client wrote them, '' where absent."""

    map: str
    service: str
    operation: str
    idempotent: bool


def fields_of(query: str) -> dict[str, str]:
    """The fields of a query string by upper-case name; of repeated ones the first with a value counts.

    Raises `MalformedRequest`.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeError) as cause:
        raise MalformedRequest(f"the query cannot be read: {cause}") from cause
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields[name.upper()] = fields.get(name.upper()) or value
    return fields


def read(method: str, query: str, content_type: str, body: bytes) -> OwsRequest:
    """What a request to `/ows/` asks for. Raises `MalformedRequest`."""
    fields = fields_of(query)
    if method == "POST" and body:
        if content_type.partition(";")[0].strip().lower() == _FORM:
            fields = _with_form(fields, body)
        else:
            fields = _with_xml(fields, body)
    operation = fields.get("REQUEST", "")
    return OwsRequest(
        map=fields.get("MAP", ""),
        service=fields.get("SERVICE", ""),
        operation=operation,
        idempotent=_only_reads(method, operation),
    )


def _with_form(fields: dict[str, str], body: bytes) -> dict[str, str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise MalformedRequest("the form is not UTF-8") from cause
    return fields_of(text) | {name: value for name, value in fields.items() if value}


def _with_xml(fields: dict[str, str], body: bytes) -> dict[str, str]:
    """The root element names the operation: it decides what QGIS does, whatever the query says."""
    name, attributes = _root_element(body)
    found = {"REQUEST": name.rpartition(":")[2], "SERVICE": attributes.get("service", "")}
    return fields | {field: value for field, value in found.items() if value}


def _root_element(body: bytes) -> tuple[str, dict[str, str]]:
    """Name and attributes of the first element, by a real parser: a comment may hold what looks like one.

    Without namespaces, as QGIS reads it: an undeclared prefix is no error.
    """
    seen: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    # What is wrong behind the first element is for QGIS to say.
    with contextlib.suppress(expat.ExpatError):
        parser.Parse(body[:_LOOK_AT], False)
    return seen[0] if seen else ("", {})


def _only_reads(method: str, operation: str) -> bool:
    name = operation.lower()
    if name in _WRITING:
        return False
    return method in ("GET", "HEAD") or (method == "POST" and name in _READING_POSTS)
