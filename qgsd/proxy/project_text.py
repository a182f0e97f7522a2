# SPDX-License-Identifier: GPL-2.0-or-later
"""What a project says of itself in its file: texts, layers, extent, services. Knows neither HTTP nor QGIS.

The XML is streamed and no tree is made of it, since a project of a hundred layers has megabytes.
"""

from __future__ import annotations

import itertools
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from xml.parsers import expat

# West, south, east, north in degrees.
Box = tuple[float, float, float, float]
Place = tuple[str, ...]

SERVICES = ("WMS", "WFS", "WCS", "WMTS", "OGC API")
# A project whose variable of this name says one of these is listed nowhere.
UNLISTED_BY = "qgsd_listed"
_NO = ("no", "false", "0", "off")

# Of the sphere of EPSG:3857, in metres.
_RADIUS = 6378137.0
_PIECE = 64 << 10
# A .qgz of a few kilobytes may unpack to anything; no project's texts lie beyond this.
MAX_READ = 64 << 20

_PROPERTIES = ("qgis", "properties")
_METADATA = ("qgis", "projectMetadata")
_LAYER = ("qgis", "projectlayers", "maplayer")
# Where the texts are, the most telling place first: QGIS Server's own choice, then what the author wrote.
_TITLES = ((*_PROPERTIES, "WMSServiceTitle"), ("qgis", "title"), (*_METADATA, "title"))
_ABSTRACTS = ((*_PROPERTIES, "WMSServiceAbstract"), (*_METADATA, "abstract"))
_RESTRICTED = (*_PROPERTIES, "WMSRestrictedLayers", "value")
_VARIABLES = (*_PROPERTIES, "Variables", "variableNames", "value")
_VALUES = (*_PROPERTIES, "Variables", "variableValues", "value")
_EXTENT = (*_PROPERTIES, "WMSExtent", "value")
_CRS = ("qgis", "projectCrs", "spatialrefsys", "authid")
_WMTS = (*_PROPERTIES, "WMTSLayers")
# What a service has to offer; without any of it, it only says that there is nothing.
_OFFERS = {
    "WFS": ((*_PROPERTIES, "WFSLayers", "value"),),
    "WCS": ((*_PROPERTIES, "WCSLayers", "value"),),
    "WMTS": ((*_WMTS, "Project"), (*_WMTS, "Group", "value"), (*_WMTS, "Layer", "value")),
}
_OFFERS["OGC API"] = _OFFERS["WFS"]
_SIDES = tuple((*_LAYER, "wgs84extent", side) for side in ("xmin", "ymin", "xmax", "ymax"))
_ID, _NAME, _TITLE = ((*_LAYER, name) for name in ("id", "layername", "title"))
_OF_LAYERS = frozenset((*_SIDES, _ID, _NAME, _TITLE))
_PLACES = frozenset(
    (
        *_TITLES,
        *_ABSTRACTS,
        _RESTRICTED,
        _VARIABLES,
        _VALUES,
        _EXTENT,
        _CRS,
        *_OF_LAYERS,
        *itertools.chain(*_OFFERS.values()),
    )
)
_DEEPEST = max(map(len, _PLACES))


@dataclass(frozen=True)
class About:
    """A project in its own words; empty where it has none.

    :param layers: titles of the published layers, the topmost first.
    :param box: the extent that it announces, else that of these layers; None where the file does not tell.
    :param services: those of `SERVICES` that have something to offer.
    :param listed: False if its author wants it in no list.
    """

    title: str = ""
    abstract: str = ""
    layers: tuple[str, ...] = ()
    box: Box | None = None
    services: tuple[str, ...] = SERVICES
    listed: bool = True


def read(path: Path) -> About:
    """What a .qgs or .qgz file says. Raises all that opening, unpacking and parsing know."""
    if path.suffix == ".qgs":
        with path.open("rb") as file:
            return _Reader().read(file)
    with zipfile.ZipFile(path) as archive:
        inner = next(name for name in archive.namelist() if PurePosixPath(name).suffix == ".qgs")
        with archive.open(inner) as file:
            return _Reader().read(file)


@dataclass(frozen=True)
class _Layer:
    title: str
    box: Box | None


class _EntityDeclared(ValueError):
    """A project file has no business to declare entities: they serve to read files or to fill memory."""


class _Reader:
    """Streams through a project's XML and keeps a few texts.

    QGIS writes a DOCTYPE with a public identifier. It is never fetched.
    """

    def __init__(self) -> None:
        self._path: list[str] = []
        # Each place has as many texts as there are elements.
        self._found: dict[Place, list[str]] = {}
        self._wanted: Place | None = None
        self._layers: dict[str, _Layer] = {}
        # The layers of the tree in their order: id, name, and the names of the groups they are in.
        self._tree: list[tuple[str, str, frozenset[str]]] = []
        self._groups: list[str] = []
        self._told = False
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse_entity

    def read(self, file: IO[bytes]) -> About:
        """What is found, until all of it is there or the file ends."""
        read = 0
        while read < MAX_READ and not self._told:
            piece = file.read(_PIECE)
            read += len(piece)
            self._parser.Parse(piece, not piece)
            if not piece:
                break
        return self._about()

    # The parser's calls.

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        path = self._path
        # QGIS 3 writes <WMSServiceTitle>, QGIS 4 <properties name="WMSServiceTitle">.
        named = tag == "properties" and len(path) > 1
        path.append(attributes.get("name", tag) if named else tag)
        if len(path) > 1 and path[1] == "layer-tree-group":
            self._enter_tree(tag, attributes)
        if len(path) > _DEEPEST:
            return
        place = tuple(path)
        if place in _PLACES:
            self._found.setdefault(place, []).append("")
            self._wanted = place
            self._parser.CharacterDataHandler = self._text

    def _end(self, tag: str) -> None:
        path = self._path
        if len(path) > 1 and path[1] == "layer-tree-group" and tag == "layer-tree-group":
            self._groups.pop()
        elif len(path) == 3 and tuple(path) == _LAYER:
            self._end_layer()
        elif len(path) == 2 and tuple(path) == _PROPERTIES:
            # The rest may be long (print layouts), and has nothing better than the service's own texts.
            self._told = all(any(self._found.get(place, ())) for place in (_TITLES[0], _ABSTRACTS[0]))
        path.pop()
        if self._wanted is not None and len(path) < len(self._wanted):
            self._wanted = None
            self._parser.CharacterDataHandler = None

    def _text(self, data: str) -> None:
        if self._wanted is not None:
            self._found[self._wanted][-1] += data

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise _EntityDeclared(f"declares the entity '{name}'")

    def _enter_tree(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "layer-tree-group":
            self._groups.append(attributes.get("name", ""))
        elif tag == "layer-tree-layer":
            groups = frozenset(self._groups)
            self._tree.append((attributes.get("id", ""), attributes.get("name", ""), groups))

    def _end_layer(self) -> None:
        told = {place: self._found.pop(place, [""])[0].strip() for place in _OF_LAYERS}
        box = _box([told[side] for side in _SIDES])
        self._layers[told[_ID]] = _Layer(told[_TITLE] or told[_NAME], box)

    # What becomes of it.

    def _about(self) -> About:
        layers = list(self._published())
        boxes = [layer.box for layer in layers if layer.box is not None]
        offering = [
            service
            for service in SERVICES
            if service not in _OFFERS
            or any(_is_yes(text) for place in _OFFERS[service] for text in self._all(place))
        ]
        variables = dict(zip(self._all(_VARIABLES), self._all(_VALUES), strict=False))
        return About(
            self._first(_TITLES),
            self._first(_ABSTRACTS),
            tuple(layer.title for layer in layers),
            self._announced() or _around(boxes),
            tuple(offering),
            variables.get(UNLISTED_BY, "").lower() not in _NO,
        )

    def _announced(self) -> Box | None:
        """What capabilities say. It is in the project's own CRS, of which only two need no PROJ."""
        extent = self._all(_EXTENT)
        crs = self._first((_CRS,))
        if len(extent) == 4 and crs == "EPSG:3857":
            try:
                return _box([str(degrees) for degrees in _from_mercator(*map(float, extent))])
            except (ValueError, OverflowError):
                return None
        return _box(extent) if crs == "EPSG:4326" else None

    def _published(self) -> Iterator[_Layer]:
        restricted = frozenset(self._all(_RESTRICTED))
        for id, name, groups in self._tree:
            if name not in restricted and not groups & restricted:
                # A layer embedded from another project is described there.
                known = self._layers.get(id, _Layer("", None))
                yield _Layer(known.title or name, known.box)

    def _all(self, place: Place) -> list[str]:
        return [text.strip() for text in self._found.get(place, ())]

    def _first(self, places: tuple[Place, ...]) -> str:
        """The first text that is not empty."""
        return next((text for place in places for text in self._all(place) if text), "")


def _is_yes(text: str) -> bool:
    return bool(text) and text.lower() not in _NO


def _box(sides: list[str]) -> Box | None:
    """None for what is no place on the earth: QGIS writes numbers without meaning for empty layers."""
    try:
        west, south, east, north = (float(side) for side in sides)
    except ValueError:
        return None
    box = max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)
    ordered = box[0] <= box[2] and box[1] <= box[3] and all(map(math.isfinite, box))
    return box if ordered and box != (0, 0, 0, 0) else None


def _from_mercator(west: float, south: float, east: float, north: float) -> Box:
    """Degrees of metres in EPSG:3857.

    >>> [round(side, 2) for side in _from_mercator(0, 0, 20037508.34, 20037508.34)]
    [0.0, 0.0, 180.0, 85.05]
    """

    def latitude(y: float) -> float:
        return math.degrees(math.atan(math.sinh(y / _RADIUS)))

    return math.degrees(west / _RADIUS), latitude(south), math.degrees(east / _RADIUS), latitude(north)


def _around(boxes: list[Box]) -> Box | None:
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def in_words(box: Box) -> str:
    """A box for people, as finely as its size asks for.

    >>> in_words((-12.3, 35.0, 30.26, 70.2)), in_words((7.5812, 47.541, 7.62, 47.58))
    ('12° W – 30° E, 35° N – 70° N', '7.581° E – 7.620° E, 47.541° N – 47.580° N')
    """
    west, south, east, north = box
    size = max(east - west, north - south)
    digits = next((digits for digits, least in enumerate((10, 1, 0.1)) if size >= least), 3)

    def side(value: float, signs: str) -> str:
        told = f"{abs(value):.{digits}f}"
        return f"{told}°" + ("" if float(told) == 0 else f" {signs[value < 0]}")

    return f"{side(west, 'EW')} – {side(east, 'EW')}, {side(south, 'NS')} – {side(north, 'NS')}"
