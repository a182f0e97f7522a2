# SPDX-License-Identifier: GPL-2.0-or-later
"""The requests that workloads ask; pure."""

from __future__ import annotations

import random

from bench.load import Request, ows

_WMS = {"SERVICE": "WMS", "VERSION": "1.3.0"}
# Web Mercator, metres: a world map's edge, and the tile's edge at zoom level 6.
_EDGE = 20037508.342789244
_TILES = 64
_TILE = 2 * _EDGE / _TILES


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


def tile(x: int, y: int, map: str = "world.qgs", layers: str = "countries,counties,places") -> Request:
    """The tile of zoom level 6 in column x and row y, 256 pixels wide."""
    west, north = x * _TILE - _EDGE, _EDGE - y * _TILE
    return _map(map, layers, (west, north - _TILE, west + _TILE, north), (256, 256))


def tiles(map: str = "world.qgs") -> list[Request]:
    """Four hundred different ones, in an order that is the same at any time."""
    # Of the columns and rows where there is land at all.
    places = [(x, y) for x in range(6, 58) for y in range(16, 40)]
    return [tile(x, y, map) for x, y in random.Random(1).sample(places, 400)]


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
    asked = {"TYPENAME": layer, "OUTPUTFORMAT": "application/json", "MAXFEATURES": 1000000 + number}
    return Request(ows("world.qgs", SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", **asked))
