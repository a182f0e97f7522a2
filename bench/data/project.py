# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the projects that are served. Runs under the system's Python, which has PyQGIS.

world.qgs   three layers: countries and counties by categories, places with labels; all by WMS and WFS
heavy.qgs   the same, under a name of its own: the tenant whose requests take long
empty.qgs, many/empty.qgs   no layers: what takes no time to load
many/pNNN.qgs   a hundred that are alike: those layers, and as many more that no request wants
"""

from __future__ import annotations

import shutil
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsMarkerSymbol,
    QgsPalLayerSettings,
    QgsProject,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor, QFont

MANY = 100
_COLOURS = ("#e8dcc8", "#d9e3c5", "#f0e2b6", "#d5dde8", "#e6d0d0", "#cfe3df", "#e3d5ea")


def build(package: Path, folder: Path) -> None:
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    project.setTitle("The benchmark's world")
    project.write(str(folder / "empty.qgs"))
    layers = [
        _areas(package, "countries", "id"),
        _areas(package, "counties", "id"),
        _places(package),
    ]
    project.addMapLayers(layers)
    project.writeEntry("WFSLayers", "/", [layer.id() for layer in layers])
    for layer in layers:
        project.writeEntry("WFSLayersPrecision", "/" + layer.id(), 6)
    world = folder / "world.qgs"
    if not project.write(str(world)):
        raise SystemExit(f"{world} cannot be written: {project.error()}")
    shutil.copy(world, folder / "heavy.qgs")
    (folder / "many").mkdir(exist_ok=True)
    shutil.copy(folder / "empty.qgs", folder / "many")
    project.addMapLayers(_further(package))
    _write_many(project, package, folder / "many")


def _further(package: Path) -> list[QgsVectorLayer]:
    """So many that a project takes as long to load, against what a map takes, as docs/performance.md says."""
    layers = [_areas(package, "countries", "id"), _areas(package, "counties", "id"), _places(package)]
    for layer in layers:
        layer.setName(f"more {layer.name()}")
    return layers


def _write_many(project: QgsProject, package: Path, folder: Path) -> None:
    first = folder / "p000.qgs"
    if not project.write(str(first)):
        raise SystemExit(f"{first} cannot be written: {project.error()}")
    for number in range(1, MANY):
        shutil.copy(first, folder / f"p{number:03}.qgs")


def _layer(package: Path, name: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{package}|layername={name}", name, "ogr")
    if not layer.isValid():
        raise SystemExit(f"{package} has no layer {name}")
    return layer


def _areas(package: Path, name: str, field: str) -> QgsVectorLayer:
    """Coloured by the last digit of a number, as a map of areas is."""
    layer = _layer(package, name)
    categories = []
    for digit in range(10):
        colour = QColor(_COLOURS[digit % len(_COLOURS)]).darker(100 + digit)
        symbol = QgsFillSymbol.createSimple(
            {"color": colour.name(), "outline_color": "#9a8f80", "outline_width": "0.15"}
        )
        categories.append(QgsRendererCategory(str(digit), symbol, f"{name} {digit}"))
    layer.setRenderer(QgsCategorizedSymbolRenderer(f'right("{field}", 1)', categories))
    _label(layer, 9, "#4a4a4a")
    return layer


def _places(package: Path) -> QgsVectorLayer:
    layer = _layer(package, "places")
    symbol = QgsMarkerSymbol.createSimple(
        {"name": "circle", "color": "#a0392b", "size": "1.2", "outline_style": "no"}
    )
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    _label(layer, 7, "#603028")
    return layer


def _label(layer: QgsVectorLayer, size: int, colour: str) -> None:
    """Labels in a named style: drawn where a request asks for `labelled`, not in tiles."""
    layer.styleManager().addStyleFromLayer("labelled")
    layer.styleManager().setCurrentStyle("labelled")
    text = QgsTextFormat()
    text.setFont(QFont("DejaVu Sans"))
    text.setSize(size)
    text.setColor(QColor(colour))
    buffer = QgsTextBufferSettings()
    buffer.setEnabled(True)
    buffer.setSize(0.7)
    text.setBuffer(buffer)
    settings = QgsPalLayerSettings()
    settings.fieldName = "name"
    settings.setFormat(text)
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)
    layer.styleManager().setCurrentStyle("default")
