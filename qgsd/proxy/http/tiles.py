# SPDX-License-Identifier: GPL-2.0-or-later
"""Which maps may be rendered as one picture with their neighbours, and where each of them lies. Pure.

Two maps are neighbours if all they ask for is the same, what QGIS and its plugins get to see of their headers
included, but for the place, and if they lie in one row. See `qgsd.proxy.metatiles` for what becomes of it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from qgsd.config import RequestsSettings
from qgsd.keeping import fits
from qgsd.messages import Tile
from qgsd.proxy.ows import OwsRequest

# Pixels of the longer side that a metatile may have.
_LONGEST = 8192
# What QGIS has of the same shape in all versions, and the pixels of its tiles.
_MATRIX_SET = "EPSG:3857"
_TILE = 256
# Where the first number of a BBOX of WMS 1.3.0 is a latitude: degrees of the EPSG.
_LATITUDE_FIRST = re.compile(r"(?:EPSG:|urn:ogc:def:crs:EPSG:[0-9.]*:)4[0-9]{3}", re.IGNORECASE)


class TileRules:
    """Of which projects so many neighbours are rendered at once, by the patterns of [metatiles].

    >>> rules = TileRules({"town/*": 8, "town/old": 0})
    >>> rules.most("town/sewers.qgs"), rules.most("town/old.qgs"), rules.most("village.qgs")
    (8, 0, 0)
    """

    def __init__(self, by_project: Mapping[str, int]) -> None:
        self._by_project = by_project
        self._found: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._by_project)

    def most(self, project: str) -> int:
        most = self._found.get(project)
        if most is None:
            if len(self._found) > 10_000:
                self._found.clear()
            most = self._found[project] = self._search(project)
        return most

    def _search(self, project: str) -> int:
        fitting = [pattern for pattern in self._by_project if fits(pattern, project)]
        # A name counts more than a pattern.
        fitting.sort(key=lambda pattern: "*" in pattern)
        return self._by_project[fitting[0]] if fitting else 0


def tile_of(
    wanted: OwsRequest, address: str, project: str, told: bytes, most: int, limits: RequestsSettings
) -> Tile | None:
    """Where a request lies among its neighbours; None if it is to be rendered by itself.

    `address` is that of the service, `told` what QGIS sees of the headers (`flight.told_by`), `most` what
    the operator allows.
    """
    fields: dict[str, str] = {}
    for name, value in wanted.pairs:
        if name in fields:
            return None
        fields[name] = value
    if fields.get("FORMAT", "").lower() != "image/png":
        return None
    match wanted.service.upper(), wanted.operation.lower():
        case "WMS", "getmap":
            place = _of_map(fields)
        case "WMTS", "gettile":
            place = _of_tile(fields)
        case _:
            place = None
    if place is None:
        return None
    width, height = place.size
    most = min(most, _longest(limits) // max(width, height), _most_pixels(limits) // (width * height))
    if most < 2:
        return None
    same = sorted((name, value) for name, value in fields.items() if name != place.without)
    row = _digest(project, address, same, place.across, told)
    try:
        return msgspec.convert((row, place.at, place.length, most), Tile)
    except msgspec.ValidationError:
        # At no place that a map could have.
        return None


class _Place(NamedTuple):
    """From `at` on, so long; `across` is where the row lies, and `without` the field that has the place."""

    at: float
    length: float
    size: tuple[int, int]
    across: tuple[str, ...]
    without: str


def _of_map(fields: Mapping[str, str]) -> _Place | None:
    size, box = _size(fields), _box(fields.get("BBOX", ""))
    if size is None or box is None or fields.get("VERSION") not in ("1.3.0", "1.1.1"):
        return None
    north_first = fields["VERSION"] == "1.3.0" and _LATITUDE_FIRST.fullmatch(fields.get("CRS", ""))
    along = 1 if north_first else 0
    texts = fields["BBOX"].split(",")
    across = texts[1 - along], texts[3 - along]
    return _Place(box[along], box[2 + along] - box[along], size, across, "BBOX")


def _of_tile(fields: Mapping[str, str]) -> _Place | None:
    column = fields.get("TILECOL", "")
    if fields.get("TILEMATRIXSET") != _MATRIX_SET or not re.fullmatch(r"[0-9]{1,9}", column, re.ASCII):
        return None
    return _Place(float(column), 1.0, (_TILE, _TILE), (), "TILECOL")


def _size(fields: Mapping[str, str]) -> tuple[int, int] | None:
    width, height = fields.get("WIDTH", ""), fields.get("HEIGHT", "")
    if not all(re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII) for text in (width, height)):
        return None
    return int(width), int(height)


def _box(text: str) -> tuple[float, float, float, float] | None:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        return None
    if not all(map(math.isfinite, (west, south, east, north))) or west >= east or south >= north:
        return None
    return west, south, east, north


def _longest(limits: RequestsSettings) -> int:
    return min(limit for limit in (_LONGEST, limits.max_width, limits.max_height) if limit)


def _most_pixels(limits: RequestsSettings) -> int:
    return limits.max_pixels or _LONGEST**2


def _digest(*parts: object) -> str:
    # Encoded with lengths, so that nothing that a client writes can pass for something else.
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=16).hexdigest()
