# SPDX-License-Identifier: GPL-2.0-or-later
"""A process with QGIS that writes projects of which tiles are the same however many are drawn at once:
`python -m tests.integration.tile_project FOLDER NAME...`.

Areas, lines and points in degrees, asked for in Web Mercator. What matters for that (docs/tiles.md): lines
are thicker than a pixel and made of short pieces, points lie off the edges of tiles.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

EDGE = 20037508.342789244
ZOOM = 5
TILE = 2 * EDGE / 2**ZOOM
_SYMBOLS = {
    "areas": {"color": "#a0c0e0", "outline_color": "#203040", "outline_width": "0.4"},
    "lines": {"color": "#a04020", "line_width": "0.5"},
    "points": {"color": "#40a020", "size": "3"},
}


def make(folder: Path, *names: str) -> None:
    """Projects of these names in the folder, with their data beside them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.tile_project", str(folder), *names],
        capture_output=True,
        text=True,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _write_data(folder: Path) -> None:
    lines = [_wave(latitude) for latitude in range(-30, 31, 6)]
    areas = [[_round(longitude, latitude)] for longitude in range(5, 90, 12) for latitude in (-22, -4, 17)]
    points = [place for column in range(16, 24) for row in range(12, 20) for place in _points(column, row)]
    kinds = (("areas", "Polygon", areas), ("lines", "LineString", lines), ("points", "Point", points))
    for name, kind, shapes in kinds:
        (folder / f"{name}.geojson").write_text(json.dumps(_collection(kind, shapes)))


def _collection(kind: str, shapes: list[Any]) -> dict[str, Any]:
    features = [
        {"type": "Feature", "properties": {"n": n}, "geometry": {"type": kind, "coordinates": shape}}
        for n, shape in enumerate(shapes)
    ]
    return {"type": "FeatureCollection", "features": features}


def _wave(latitude: float) -> list[tuple[float, float]]:
    return [(n / 10, latitude + 4 * math.sin(n / 17)) for n in range(900)]


def _round(longitude: float, latitude: float) -> list[tuple[float, float]]:
    turns = [math.tau * n / 240 for n in range(240)]
    ring = [(longitude + 7 * math.cos(turn), latitude + 5 * math.sin(turn)) for turn in turns]
    return [*ring, ring[0]]


def _points(column: int, row: int) -> list[tuple[float, float]]:
    """Some in the middle of a tile, none between two pixels, where rounding decides."""
    return [_degrees(column + x / 8 + 0.0011, row + y / 8 + 0.0013) for x in (2, 4, 6) for y in (3, 5)]


def _degrees(column: float, row: float) -> tuple[float, float]:
    x, y = column * TILE - EDGE, EDGE - row * TILE
    return math.degrees(x / 6378137), math.degrees(2 * math.atan(math.exp(y / 6378137)) - math.pi / 2)


def _write_projects(folder: Path, names: list[str]) -> None:
    from qgis.core import (
        QgsCoordinateReferenceSystem,
        QgsFillSymbol,
        QgsLineSymbol,
        QgsMarkerSymbol,
        QgsProject,
        QgsSingleSymbolRenderer,
        QgsVectorLayer,
    )

    project = QgsProject()
    project.setTitle("tiles")
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    makers = {"areas": QgsFillSymbol, "lines": QgsLineSymbol, "points": QgsMarkerSymbol}
    layers = []
    for name, properties in _SYMBOLS.items():
        layer = QgsVectorLayer(str(folder / f"{name}.geojson"), name, "ogr")
        assert layer.isValid(), layer.error().summary()
        layer.setRenderer(QgsSingleSymbolRenderer(makers[name].createSimple(properties)))
        layers.append(layer)
    project.addMapLayers(layers)
    identifiers = [layer.id() for layer in layers]
    project.writeEntry("WMSCrsList", "/", ["EPSG:3857", "EPSG:4326"])
    project.writeEntry("WMTSLayers", "Layer", identifiers)
    project.writeEntry("WMTSPngLayers", "Layer", identifiers)
    for name in names:
        assert project.write(str(folder / f"{name}.qgs")), project.error()


def main() -> None:
    from qgis.core import QgsApplication

    application = QgsApplication([], False)
    application.initQgis()
    folder, *names = sys.argv[1:]
    _write_data(Path(folder))
    _write_projects(Path(folder), names)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
