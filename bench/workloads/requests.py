# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that workloads ask; pure."""

from __future__ import annotations

import math
import random

from bench.load import Request, ows

_WMS = {"SERVICE": "WMS", "VERSION": "1.3.0"}
_LAYERS = "countries,counties,places"
# Web Mercator, metres: a world map's edge, and the tile's edge at zoom level 6.
_EDGE = 20037508.342789244
_TILES = 64
_TILE = 2 * _EDGE / _TILES
# West, south, east, north of where there is most to draw: Europe, and the United States with their counties.
_REGIONS = ((-10, 36, 30, 60), (-125, 25, -67, 49))
# From several countries in one tile to a part of one.
_LEVELS = (5, 6, 7)


def capabilities() -> Request:
    return Request(ows("world.qgs", **_WMS, REQUEST="GetCapabilities"))


def small() -> Request:
    """What takes next to no time: capabilities of a project without layers."""
    return Request(ows("empty.qgs", **_WMS, REQUEST="GetCapabilities"))


def legends() -> list[Request]:
    """Two hundred, no two alike, so that no server can give one answer to two clients."""
    asked = {"LAYERS": "countries", "FORMAT": "image/png", "STYLE": "default"}
    return [
        Request(ows("world.qgs", **_WMS, REQUEST="GetLegendGraphic", **asked, BOXSPACE=f"{2 + number / 100}"))
        for number in range(200)
    ]


def tile(x: int, y: int, map: str = "world.qgs") -> Request:
    """The tile of zoom level 6 in column x and row y, 256 pixels wide."""
    west, north = x * _TILE - _EDGE, _EDGE - y * _TILE
    return _map(map, _LAYERS, (west, north - _TILE, west + _TILE, north), (256, 256))


def light_tiles(map: str = "world.qgs") -> list[Request]:
    """Four hundred different ones of zoom level 6, in an order that is the same at any time; half is sea."""
    # Of the columns and rows where there is land at all.
    places = [(x, y) for x in range(6, 58) for y in range(16, 40)]
    return [tile(x, y, map) for x, y in random.Random(1).sample(places, 400)]


def views(number: int, columns: int = 6, rows: int = 4, map: str = "world.qgs") -> list[Request]:
    """The tiles of so many views of a map on a page, view by view; regions and levels as for `maps`."""
    draw = random.Random(6)
    asked = []
    for one in range(number):
        west, south, east, north = _REGIONS[one % len(_REGIONS)]
        size = 2 * _EDGE / 2 ** _LEVELS[one // len(_REGIONS) % len(_LEVELS)]
        first = int((draw.uniform(west, east) / 180 * _EDGE + _EDGE) / size)
        top = int((_EDGE - draw.uniform(_mercator(south), _mercator(north))) / size)
        for row in range(top, top + rows):
            for column in range(first, first + columns):
                x, y = column * size - _EDGE, _EDGE - row * size
                asked.append(_map(map, _LAYERS, (x, y - size, x + size, y), (256, 256)))
    return asked


def maps(number: int, size: tuple[int, int], map: str = "world.qgs") -> list[Request]:
    """Different ones of that many pixels, of regions, levels 5 to 7 alike; docs/performance.md says why."""
    draw = random.Random(5)
    asked = []
    for one in range(number):
        west, south, east, north = _REGIONS[one % len(_REGIONS)]
        pixel = 2 * _EDGE / 256 / 2 ** _LEVELS[one // len(_REGIONS) % len(_LEVELS)]
        x = draw.uniform(west, east) / 180 * _EDGE
        y = draw.uniform(_mercator(south), _mercator(north))
        width, height = size[0] * pixel / 2, size[1] * pixel / 2
        asked.append(_map(map, _LAYERS, (x - width, y - height, x + width, y + height), size))
    draw.shuffle(asked)
    return asked


def _mercator(latitude: float) -> float:
    """Metres north of the equator."""
    return math.asinh(math.tan(math.radians(latitude))) / math.pi * _EDGE


def tiles(map: str = "world.qgs") -> list[Request]:
    """Four hundred different ones."""
    return maps(400, (256, 256), map)


def labelled_maps(map: str = "world.qgs") -> list[Request]:
    """Forty maps of countries with labels, 800 × 400."""
    draw = random.Random(2)
    asked = []
    for _ in range(40):
        x, y = draw.uniform(-0.5, 0.3) * _EDGE, draw.uniform(-0.3, 0.2) * _EDGE
        box = (x, y, x + 0.7 * _EDGE, y + 0.35 * _EDGE)
        asked.append(_map(map, "countries,counties", box, (800, 400), styles="labelled,labelled"))
    return asked


def _map(map: str, layers: str, box: tuple[float, ...], size: tuple[int, int], styles: str = "") -> Request:
    asked: dict[str, str | int] = {
        "LAYERS": layers, "STYLES": styles, "CRS": "EPSG:3857",
        "BBOX": ",".join(f"{edge:.3f}" for edge in box),
        "WIDTH": size[0], "HEIGHT": size[1], "FORMAT": "image/png",
    }  # fmt: skip
    return Request(ows(map, **_WMS, REQUEST="GetMap", **asked))


def features(layer: str, number: int = 0) -> Request:
    """All features of a layer as GeoJSON; `number` makes a request another one with the same answer."""
    asked: dict[str, str | int] = {"TYPENAME": layer, "OUTPUTFORMAT": "application/json"}
    asked["MAXFEATURES"] = 1000000 + number
    return Request(ows("world.qgs", SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", **asked))
