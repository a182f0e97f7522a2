# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the projects that both servers are asked about: `python -m tests.differential.project FOLDER`.

`survey.qgs` is made here from nothing: a point, a line and a polygon layer, a table, a raster, a group, a
layout and a map theme, with names beyond ASCII, dates and nulls; all of it published, one layer writable.
`hollow.qgs` has a MultiPolygon with an empty part, which crashes QGIS 3.22. The world is copied beside.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Waiting for the disk at every feature would take seconds.
os.environ["OGR_SQLITE_SYNCHRONOUS"] = "OFF"

import numpy as np
from osgeo import gdal, ogr, osr
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsEditorWidgetSetup,
    QgsLayerTreeGroup,
    QgsLayoutItemLabel,
    QgsLayoutItemMap,
    QgsLayoutItemPage,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsMapLayer,
    QgsMapThemeCollection,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

WORLD = Path(__file__).parents[2] / "examples" / "world"
EXTENT = QgsRectangle(0, 0, 10, 10)
LINES = [
    ("Hauptstraße", 12.5, "LINESTRING (0 0, 5 5, 10 5)"),
    ("東京通り", None, "LINESTRING (1 9, 9 1)"),
    ("O'Brien & <Söhne>", 3.25, "LINESTRING (2 2, 2 8, 8 8)"),
]
AREAS = [
    ("Nord", 1, "MULTIPOLYGON (((0 5, 10 5, 10 10, 0 10, 0 5), (2 6, 4 6, 4 8, 2 8, 2 6)))"),
    ("Süd", 2, "MULTIPOLYGON (((0 0, 4 0, 4 4, 0 4, 0 0)), ((6 0, 10 0, 10 4, 6 4, 6 0)))"),
    (None, 3, "MULTIPOLYGON (((4 4, 6 4, 6 5, 4 5, 4 4)))"),
]
HOLLOW = "MULTIPOLYGON (((0 0, 4 0, 4 4, 0 4, 0 0)), EMPTY)"


def write_vectors(path: Path) -> None:
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    _points(source, crs)
    _layer(source, crs, "lines", ogr.wkbLineString, ("name", ogr.OFTString), ("length", ogr.OFTReal), LINES)
    _layer(
        source, crs, "areas", ogr.wkbMultiPolygon, ("name", ogr.OFTString), ("kind", ogr.OFTInteger), AREAS
    )
    notes = [("first", 1, None), ("zweite Notiz", None, None)]
    _layer(source, None, "notes", ogr.wkbNone, ("text", ogr.OFTString), ("point", ogr.OFTInteger), notes)


def _layer(source: Any, crs: Any, name: str, kind: int, first: Any, second: Any, rows: list[Any]) -> None:
    layer = source.CreateLayer(name, crs, kind)
    for field in (first, second):
        layer.CreateField(ogr.FieldDefn(*field))
    for left, right, wkt in rows:
        feature = ogr.Feature(layer.GetLayerDefn())
        for field, value in ((first[0], left), (second[0], right)):
            feature.SetFieldNull(field) if value is None else feature.SetField(field, value)
        if wkt:
            feature.SetGeometry(ogr.CreateGeometryFromWkt(wkt))
        layer.CreateFeature(feature)


def _points(source: Any, crs: Any) -> None:
    """Thirty points; every fourth has no date, every fifth no name."""
    layer = source.CreateLayer("points", crs, ogr.wkbPoint)
    for name, kind in (("name", ogr.OFTString), ("größe", ogr.OFTReal), ("day", ogr.OFTDate)):
        layer.CreateField(ogr.FieldDefn(name, kind))
    layer.CreateField(ogr.FieldDefn("moment", ogr.OFTDateTime))
    flag = ogr.FieldDefn("flag", ogr.OFTInteger)
    flag.SetSubType(ogr.OFSTBoolean)
    layer.CreateField(flag)
    layer.CreateField(ogr.FieldDefn("count", ogr.OFTInteger64))
    for number in range(30):
        feature = ogr.Feature(layer.GetLayerDefn())
        if number % 5:
            feature.SetField("name", f"Ort {number} – é漢")
        feature.SetField("größe", number * 1.25)
        if number % 4:
            feature.SetField("day", f"2024/02/{1 + number % 28:02d}")
            feature.SetField("moment", f"2024/02/{1 + number % 28:02d} 12:30:{number:02d}+00")
        feature.SetField("flag", number % 2)
        feature.SetField("count", number * 10**9)
        point = f"POINT ({0.5 + (number * 7) % 10} {0.5 + (number * 3) % 10})"
        feature.SetGeometry(ogr.CreateGeometryFromWkt(point))
        layer.CreateFeature(feature)


def write_raster(path: Path) -> None:
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 50, 40, 2, gdal.GDT_Float32)
    dataset.SetGeoTransform((0, 0.2, 0, 10, 0, -0.25))
    dataset.SetProjection(crs.ExportToWkt())
    rows, columns = np.mgrid[0:40, 0:50]
    for band, values in (
        (1, rows * columns / 20),
        (2, np.where((rows + columns) % 7, rows - columns, -9999)),
    ):
        dataset.GetRasterBand(band).WriteArray(values.astype("float32"))
        dataset.GetRasterBand(band).SetNoDataValue(-9999)


def open_layers(folder: Path) -> dict[str, QgsMapLayer]:
    layers: dict[str, QgsMapLayer] = {}
    for name in ("points", "lines", "areas", "notes"):
        layers[name] = QgsVectorLayer(f"{folder / 'survey.gpkg'}|layername={name}", name, "ogr")
    # The second band is the one with holes.
    layers["relief"] = QgsRasterLayer(str(folder / "relief.tif"), "relief", "gdal")
    for name, layer in layers.items():
        assert layer.isValid(), name
        layer.setShortName(name)
        layer.setTitle(f"Titel von {name} – ünïcödé")
        layer.setAbstract(f"About {name} & <more>")
        # QGIS draws a random colour for each new layer.
        if isinstance(layer, QgsVectorLayer) and layer.renderer() is not None:
            layer.renderer().symbol().setColor(QColor("#3070a0"))
    # A name that no URL can have as it is.
    layers["lines"].setName("Straßen & Wege")
    layers["lines"].setShortName("")
    layers["points"].setEditorWidgetSetup(3, QgsEditorWidgetSetup("Hidden", {}))
    style = layers["areas"].styleManager()
    style.addStyleFromLayer("rot")
    style.setCurrentStyle("rot")
    layers["areas"].renderer().symbol().setColor(QColor("#c03020"))
    style.setCurrentStyle("default")
    return layers


def publish(project: QgsProject, layers: dict[str, QgsMapLayer]) -> None:
    entries: dict[tuple[str, str], Any] = {
        ("WMSServiceCapabilities", "/"): True,
        ("WMSServiceTitle", "/"): "Vermessung – 測量",
        ("WMSServiceAbstract", "/"): "For <comparison> & nothing else",
        ("WMSContactPerson", "/"): "Zoë",
        ("WMSKeywordList", "/"): ["eins", "zwei & drei"],
        ("WMSRootName", "/"): "survey",
        ("WMSAddWktGeometry", "/"): True,
        ("WMSUseLayerIDs", "/"): False,
        ("WMSFeatureInfoUseAttributeFormSettings", "/"): False,
        ("WMSCrsList", "/"): ["EPSG:4326", "EPSG:3857", "EPSG:32632"],
        ("WMSMaxWidth", "/"): 3000,
        ("WFSLayers", "/"): [layers[name].id() for name in ("points", "lines", "areas", "notes")],
        ("WFSTLayers", "Insert"): [layers["points"].id()],
        ("WFSTLayers", "Update"): [layers["points"].id()],
        ("WFSTLayers", "Delete"): [layers["points"].id()],
        ("WCSLayers", "/"): [layers["relief"].id()],
        ("WMTSLayers", "Project"): True,
        ("WMTSLayers", "Layer"): [layers["areas"].id(), layers["relief"].id()],
        ("WMTSPngLayers", "Project"): True,
        ("WMTSPngLayers", "Layer"): [layers["areas"].id(), layers["relief"].id()],
        ("WMTSJpegLayers", "Layer"): [layers["relief"].id()],
        ("WMTSGrids", "CRS"): ["EPSG:3857", "EPSG:4326"],
        ("WMTSGrids", "Config"): [
            "EPSG:3857,20037508.3,-20037508.3,559082264.0,10",
            "EPSG:4326,90,-180,279541132.0,10",
        ],
        ("Gui", "dummy"): "",
    }
    for (scope, key), value in entries.items():
        project.writeEntry(scope, key, value)
    project.writeEntry("WMSExtent", "/", ["0", "0", "10", "10"])


def add_layout(project: QgsProject) -> None:
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    layout.setName("Blatt – 一")
    layout.renderContext().setDpi(72)
    layout.pageCollection().page(0).setPageSize("A5", QgsLayoutItemPage.Landscape)
    main = QgsLayoutItemMap(layout)
    main.attemptMove(QgsLayoutPoint(10, 20))
    main.attemptResize(QgsLayoutSize(100, 100))
    main.setExtent(EXTENT)
    label = QgsLayoutItemLabel(layout)
    label.setId("titel")
    label.setText("Karte")
    label.attemptMove(QgsLayoutPoint(10, 5))
    label.attemptResize(QgsLayoutSize(100, 10))
    layout.addLayoutItem(main)
    layout.addLayoutItem(label)
    project.layoutManager().addLayout(layout)


def build_survey(folder: Path) -> None:
    write_vectors(folder / "survey.gpkg")
    write_raster(folder / "relief.tif")
    project = QgsProject.instance()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    layers = open_layers(folder)
    for layer in layers.values():
        project.addMapLayer(layer, False)
    root = project.layerTreeRoot()
    for name in ("points", "lines"):
        root.addLayer(layers[name])
    group: QgsLayerTreeGroup = root.addGroup("Flächen")
    group.setCustomProperty("wmsShortName", "surfaces")
    for name in ("areas", "relief"):
        group.addLayer(layers[name])
    root.addLayer(layers["notes"])
    theme = QgsMapThemeCollection.createThemeFromCurrentState
    from qgis.core import QgsLayerTreeModel

    project.mapThemeCollection().insert("everything", theme(root, QgsLayerTreeModel(root)))
    publish(project, layers)
    add_layout(project)
    assert project.write(str(folder / "survey.qgs"))
    project.clear()


def build_hollow(folder: Path) -> None:
    """By a hand-made GeoPackage geometry: OGR and QGIS both drop empty parts when they write."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(folder / "hollow.gpkg"))
    rows = [("hollow", 1, HOLLOW)]
    _layer(
        source, crs, "hollow", ogr.wkbMultiPolygon, ("name", ogr.OFTString), ("kind", ogr.OFTInteger), rows
    )
    del source
    project = QgsProject.instance()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    layer = QgsVectorLayer(f"{folder / 'hollow.gpkg'}|layername=hollow", "hollow", "ogr")
    project.addMapLayer(layer)
    project.writeEntry("WFSLayers", "/", [layer.id()])
    assert project.write(str(folder / "hollow.qgs"))
    project.clear()


def build(folder: Path) -> None:
    gdal.UseExceptions()
    ogr.UseExceptions()
    shutil.copytree(WORLD, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"), dirs_exist_ok=True)
    build_survey(folder)
    build_hollow(folder)
    # A name that an address has to spell otherwise.
    shutil.copy(folder / "survey.qgs", folder / "plan 1+é.qgs")


def main() -> None:
    application = QgsApplication([], False)
    application.initQgis()
    build(Path(sys.argv[1]))
    sys.stdout.flush()
    # Without the destructors, which may crash and have nothing to save.
    os._exit(0)


if __name__ == "__main__":
    main()
