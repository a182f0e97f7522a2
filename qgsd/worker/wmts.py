# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiles of WMTS as the maps of WMS that QGIS makes of them, in Web Mercator. Pure.

QGIS does this inside and does not tell, and another version may do it otherwise: `worker.metatile` believes
it only after it has seen a tile drawn both ways. Figures and rounding are those of QGIS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

MATRIX_SET = "EPSG:3857"
_SIZE = 256
_EDGE = 20037508.3427892480
# Of the whole world in one tile, with pixels of 0.28 mm.
_SCALE = 559082264.0287179
# Metres in a unit of the map: QGIS takes the inch of a survey, and 39.37 of them.
_METRES = 0.02540005080010160020 * 39.37
_MOST_LEVELS = 40


def as_map(url: str) -> str | None:
    """The request for the same map; None if there is no such tile.

    >>> tile = "http://h/ows/?MAP=m&SERVICE=WMTS&LAYER=a+b&TILEMATRIXSET=EPSG:3857&TILEMATRIX=1"
    >>> as_map(tile + "&TILEROW=0&TILECOL=1").partition("BBOX=")[2].partition("&")[0]
    '0%2C0%2C20037508.342789%2C20037508.342789'
    >>> as_map(tile + "&TILEROW=0&TILECOL=2"), as_map(tile + "&TILEROW=x&TILECOL=0")
    (None, None)
    """
    address, _, query = url.partition("?")
    fields = {name.upper(): value for name, value in parse_qsl(query, keep_blank_values=True)}
    box = _box(fields)
    if box is None or fields.get("TILEMATRIXSET") != MATRIX_SET:
        return None
    asked = {"MAP": fields["MAP"]} if fields.get("MAP") else {}
    asked |= {
        "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": fields.get("LAYER", ""),
        "STYLES": "", "CRS": MATRIX_SET, "BBOX": ",".join(map(_written, box)), "WIDTH": str(_SIZE),
        "HEIGHT": str(_SIZE), "FORMAT": "image/png", "TRANSPARENT": "true", "DPI": "96",
    }  # fmt: skip
    return f"{address}?{urlencode(asked)}"


def _box(fields: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    texts = [fields.get(name, "") for name in ("TILEMATRIX", "TILECOL", "TILEROW")]
    if not all(text.isascii() and text.isdecimal() and len(text) < 10 for text in texts):
        return None
    level, column, row = map(int, texts)
    if level > _MOST_LEVELS:
        return None
    resolution = 0.00028 * (_SCALE / 2**level) / _METRES
    tile = _SIZE * resolution
    count = math.ceil(2 * _EDGE / tile)
    if not (column < count and row < count):
        return None
    left = max(-count / 2 * tile, -_EDGE)
    top = min(count / 2 * tile, _EDGE)
    return left + column * tile, top - (row + 1) * tile, left + (column + 1) * tile, top - row * tile


def _written(number: float) -> str:
    """
    >>> _written(10.5), _written(-0.0000001), _written(200.0)
    ('10.5', '0', '200')
    """
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
