# SPDX-License-Identifier: GPL-2.0-or-later
"""Are two answers the same to a client? What may differ is named here, with the reason, and nothing else."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Reply:
    """An answer of either side; `died` when QGIS crashed instead."""

    status: int
    headers: dict[str, str]
    body: bytes
    died: bool = False


# qgsd's own, of which QGIS Server says nothing (or its web server says them).
OURS = {
    "server", "date", "connection", "transfer-encoding", "x-request-id", "server-timing", "vary",
    "access-control-allow-origin", "access-control-expose-headers", "x-map-id",
}  # fmt: skip
# What qgsd adds where QGIS and its plugins say nothing.
ADDED = {"etag", "accept-ranges"}

# Drawn or read off the clock by QGIS, anew for every answer, also in one process.
_CHANGING = [
    # GetFeature in GML 3 and GetCapabilities of OGC API: the moment of the answer.
    (re.compile(rb'("timeStamp"\s*:\s*|\btimeStamp=)"[^"]*"'), rb'\1"NOW"'),
    # PDF: its moment and an identifier made of it.
    (re.compile(rb"/(CreationDate|ModDate) ?\(D:[^)]*\)"), rb"/\1 (NOW)"),
    (re.compile(rb"/ID ?\[[^\]]*\]"), rb"/ID []"),
    (re.compile(rb"<xmp:(\w+Date)>[^<]*<"), rb"<xmp:\1>NOW<"),
    (re.compile(rb"uuid:[0-9a-f-]{36}"), rb"uuid:X"),
    # A printed PDF's title is the name of the temporary file it was written to.
    (re.compile(rb"/Title \(\xfe\xff(\x00[A-Za-z]){6}\)"), rb"/Title (X)"),
    (re.compile(rb'(<rdf:li xml:lang="x-default">)[A-Za-z]{6}<'), rb"\1X<"),
]  # fmt: skip


def differences(reference: Reply, ours: Reply) -> list[str]:
    """What a client could see, in words; empty when there is nothing."""
    found = []
    if reference.status != ours.status:
        found.append(f"status {reference.status} is {ours.status}: {ours.body[:300]!r}")
    found += _headers(reference, ours)
    kind = reference.headers.get("content-type", "")
    if told := _bodies(kind, settled(reference.body), settled(ours.body)):
        found.append(told)
    return found


def _headers(reference: Reply, ours: Reply) -> Iterable[str]:
    for name in sorted(reference.headers.keys() | ours.headers.keys()):
        wanted, got = reference.headers.get(name), ours.headers.get(name)
        if wanted is None and name in ADDED:
            continue
        if name in OURS or wanted == got:
            continue
        # QGIS gives no length where it flushes as it goes; HTTP then needs chunks, or a length as here.
        # Where a date in the body changes its length, the bodies are judged.
        if name == "content-length" and (wanted is None or len(reference.body) != len(ours.body)):
            continue
        yield f"header {name}: {wanted!r} is {got!r}"


def settled(body: bytes) -> bytes:
    """The body without what QGIS draws anew for every answer."""
    for pattern, replacement in _CHANGING:
        body = pattern.sub(replacement, body)
    return body


def _bodies(kind: str, reference: bytes, ours: bytes) -> str:
    if reference == ours:
        return ""
    if kind.startswith("image/") and "svg" not in kind:
        return _images(reference, ours)
    if "json" in kind:
        return _parsed(json.loads, reference, ours)
    if "xml" in kind or "gml" in kind or "svg" in kind:
        return _parsed(_canonical, reference, ours)
    return _first_difference(reference, ours)


def _parsed(parse: Any, reference: bytes, ours: bytes) -> str:
    try:
        same = parse(reference) == parse(ours)
    except (ValueError, ElementTree.ParseError) as error:
        return f"not to be parsed ({error}), {_first_difference(reference, ours)}"
    return "" if same else _first_difference(reference, ours)


def _canonical(body: bytes) -> str:
    """Qt writes attributes in an order that it draws for every process."""
    return ElementTree.canonicalize(body.decode("utf-8", "surrogateescape"), strip_text=False)


def _images(reference: bytes, ours: bytes) -> str:
    try:
        wanted, got = (np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")) for data in (reference, ours))
    except OSError as error:
        return f"no image: {error}; {_first_difference(reference, ours)}"
    if wanted.shape != got.shape:
        return f"size {wanted.shape} is {got.shape}"
    wrong = int((wanted != got).any(axis=2).sum())
    return f"{wrong} of {wanted.shape[0] * wanted.shape[1]} pixels differ" if wrong else ""


def _first_difference(reference: bytes, ours: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(reference, ours, strict=False)) if a != b), None)
    if at is None:
        at = min(len(reference), len(ours))
    start = max(0, at - 80)
    return (
        f"body ({len(reference)} bytes) is ({len(ours)}) other from byte {at}:\n"
        f"  QGIS: …{reference[start : at + 120]!r}\n  qgsd: …{ours[start : at + 120]!r}"
    )
