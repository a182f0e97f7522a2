# SPDX-License-Identifier: GPL-2.0-or-later
"""What each worker would otherwise do at its first requests, done once before the fork.

QGIS makes much at first use: reference systems and the connection to PROJ, fonts, functions of expressions,
the way from a library to a function in another. Done in the template, all workers share the memory (6 MB of
each one's own less) and have the time (50 ms). What is served for it is a project that exists in memory
only: no file, dataset or database is opened. Plugins are not there yet, so nothing of theirs runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsPalLayerSettings,
    QgsProject,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtCore import qInstallMessageHandler
from qgis.server import QgsBufferServerRequest, QgsBufferServerResponse, QgsServer, QgsServerSettings

_SHAPES = {
    "polygon": "POLYGON((1 1, 9 1, 9 9, 1 1))",
    "linestring": "LINESTRING(1 1, 9 9)",
    "point": "POINT(5 5)",
}
_LAYERS = ",".join(_SHAPES)
_WMS = {"SERVICE": "WMS", "VERSION": "1.3.0"}
_REQUESTS: list[dict[str, str | int]] = [
    {**_WMS, "REQUEST": "GetCapabilities"},
    {
        **_WMS, "REQUEST": "GetMap", "LAYERS": _LAYERS, "STYLES": "", "CRS": "EPSG:3857",
        "BBOX": "0,0,1200000,1200000", "WIDTH": 64, "HEIGHT": 64, "FORMAT": "image/png",
    },
    {**_WMS, "REQUEST": "GetLegendGraphic", "LAYERS": _LAYERS, "FORMAT": "image/png"},
    {
        "SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "point",
        "OUTPUTFORMAT": "application/json",
    },
]  # fmt: skip


def warm_up(server: QgsServer) -> list[str]:
    """Serve some requests for nobody. What did not work, which matters to nobody but who wonders."""
    settings = QgsServerSettings()
    settings.load()
    if settings.parallelRendering():
        return ["QGIS draws in threads, which the workers would miss: nothing is drawn before the fork"]
    project, failed = _project(), []
    with _silence():
        for parameters in _REQUESTS:
            request = QgsBufferServerRequest(f"http://localhost/?{urlencode(parameters)}")
            response = QgsBufferServerResponse()
            server.handleRequest(request, response, project)
            if response.statusCode() != 200:
                failed.append(f"{parameters['REQUEST']}: {bytes(response.body()).decode(errors='replace')}")
        # QGIS keeps capabilities under the name of a project's file, and this one has none.
        interface = server.serverInterface()
        assert interface is not None
        interface.removeConfigCacheEntry(project.fileName())
    return failed


@contextmanager
def _silence() -> Iterator[None]:
    """Nobody needs to read what Qt has to say of an empty project."""
    before = qInstallMessageHandler(lambda kind, context, text: None)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


def _project() -> QgsProject:
    """With a labelled layer of each kind."""
    project = QgsProject()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    for name, shape in _SHAPES.items():
        project.addMapLayer(_layer(name, shape))
    project.writeEntry("WFSLayers", "/", list(project.mapLayers()))
    return project


def _layer(name: str, shape: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{name}?crs=EPSG:4326&field=name:string", name, "memory")
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt(shape))
    feature.setAttributes([name])
    provider = layer.dataProvider()
    assert provider is not None
    provider.addFeatures([feature])
    labels = QgsPalLayerSettings()
    labels.fieldName = "name"
    layer.setLabeling(QgsVectorLayerSimpleLabeling(labels))
    layer.setLabelsEnabled(True)
    return layer
