# SPDX-License-Identifier: GPL-2.0-or-later
"""WCS and WMTS: rasters and tiles."""

from __future__ import annotations

from tests.differential.ask import Ask, each, ows, post, values

WCS = {"SERVICE": "WCS", "VERSION": "1.0.0"}
COVERAGE = WCS | {
    "REQUEST": "GetCoverage", "COVERAGE": "relief", "CRS": "EPSG:4326", "BBOX": "0,0,10,10", "WIDTH": 40,
    "HEIGHT": 30, "FORMAT": "GTiff",
}  # fmt: skip
_COVERAGE_ODD = [
    {},
    {"FORMAT": "GeoTIFF"},
    {"FORMAT": "image/tiff"},
    {"FORMAT": "nonsense"},
    {"FORMAT": None},
    {"CRS": "EPSG:3857", "BBOX": "0,0,1000000,1000000"},
    {"RESPONSE_CRS": "EPSG:3857"},
    {"CRS": "EPSG:99999"},
    {"CRS": None},
    {"BBOX": "0,0,10"},
    {"BBOX": "nonsense"},
    {"BBOX": None},
    {"WIDTH": 0},
    {"WIDTH": None},
    {"WIDTH": None, "HEIGHT": None, "RESX": 0.5, "RESY": 0.5},
    {"WIDTH": 5000},
    {"COVERAGE": "no_such_layer"},
    {"COVERAGE": "areas"},
    {"COVERAGE": None},
    {"COVERAGE": None, "IDENTIFIER": "relief"},
    {"VERSION": "1.1.1"},
]

WMTS = {"SERVICE": "WMTS", "VERSION": "1.0.0"}
TILE = WMTS | {
    "REQUEST": "GetTile", "LAYER": "survey", "STYLE": "", "TILEMATRIXSET": "EPSG:3857", "TILEMATRIX": 4,
    "TILEROW": 7, "TILECOL": 8, "FORMAT": "image/png",
}  # fmt: skip
_TILE_ODD = [
    {},
    {"LAYER": "areas"},
    {"LAYER": "relief"},
    {"LAYER": "relief", "FORMAT": "image/jpeg"},
    {"LAYER": "no_such_layer"},
    {"LAYER": None},
    {"STYLE": "default"},
    {"FORMAT": "image/jpeg"},
    {"FORMAT": "image/webp"},
    {"FORMAT": None},
    {"TILEMATRIXSET": "EPSG:4326", "TILEROW": 7, "TILECOL": 16},
    {"TILEMATRIXSET": "nonsense"},
    {"TILEMATRIXSET": None},
    {"TILEMATRIX": 99},
    {"TILEMATRIX": "four"},
    {"TILEMATRIX": None},
    {"TILEROW": -1},
    {"TILEROW": 9999},
    {"TILECOL": None},
]
_TILE_INFO = TILE | {
    "REQUEST": "GetFeatureInfo", "LAYER": "areas", "I": 100, "J": 100, "INFOFORMAT": "text/xml",
}  # fmt: skip

_WORLD_TILE = TILE | {
    "LAYER": "coast_distance",
    "TILEMATRIX": 2,
    "TILEROW": 1,
    "TILECOL": 2,
    "STYLE": "default",
}
_WCS_POST = '<GetCapabilities service="WCS" version="1.0.0"/>'

ASKS: list[Ask] = [
    *each({"SERVICE": "WCS"}, values("VERSION", "1.0.0", "1.1.0", ""), values("REQUEST", "GetCapabilities")),
    *each(WCS | {"REQUEST": "DescribeCoverage"}, values("COVERAGE", "relief", "no_such_layer", "")),
    ows(WCS, REQUEST="DescribeCoverage"),
    ows(WCS, REQUEST="DescribeCoverage", IDENTIFIERS="relief", VERSION="1.1.1"),
    *each(WCS, values("REQUEST", "GetNothing", "")),
    *[ows(COVERAGE, odd) for odd in _COVERAGE_ODD],
    ows(COVERAGE, COVERAGE="coast_distance", BBOX="-20,30,40,70", project="world.qgs"),
    ows(WCS, REQUEST="GetCapabilities", project="world.qgs"),
    post(_WCS_POST),
    *each({"SERVICE": "WMTS"}, values("VERSION", "1.0.0", "", "2.0"), values("REQUEST", "GetCapabilities")),
    ows(WMTS, REQUEST="GetCapabilities", project="world.qgs"),
    *each(WMTS, values("REQUEST", "GetNothing", "")),
    *[ows(TILE, odd) for odd in _TILE_ODD],
    *each(_TILE_INFO, values("INFOFORMAT", "text/xml", "text/plain", "application/json", "nonsense")),
    ows(_TILE_INFO, I=1000),
    *each(_WORLD_TILE, values("TILECOL", 0, 2), project="world.qgs"),
]
