# SPDX-License-Identifier: GPL-2.0-or-later
"""A process with QGIS that writes a project: `python -m tests.integration.write_project < JSON`.

The JSON is a list of {"uri", "title", "layers": [[name, source, provider]], "layouts": [names]}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def write(*projects: dict[str, Any], env: dict[str, str] | None = None) -> None:
    """Write projects as QGIS does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.write_project"],
        input=json.dumps(projects),
        capture_output=True,
        text=True,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"} | (env or {}),
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _write(uri: str, title: str, layers: list[list[str]], layouts: list[str]) -> None:
    from qgis.core import QgsCoordinateReferenceSystem, QgsPrintLayout, QgsProject, QgsVectorLayer

    project = QgsProject()
    project.setTitle(title)
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    project.writeEntry("WMSServiceTitle", "/", title)
    for service in ("WMS", "WFS"):
        project.writeEntry(f"{service}Url", "/", "http://own.example/service")
    opened = [QgsVectorLayer(source, name, provider) for name, source, provider in layers]
    assert all(layer.isValid() for layer in opened), [layer.error().summary() for layer in opened]
    for layer in opened:
        # QGIS 3.40 writes only the extents that somebody has asked for.
        layer.extent()
        layer.wgs84Extent()
    project.addMapLayers(opened)
    identifiers = [layer.id() for layer in opened]
    project.writeEntry("WFSLayers", "/", identifiers)
    for operation in ("Insert", "Update", "Delete"):
        project.writeEntry("WFSTLayers", operation, identifiers)
    for name in layouts:
        layout = QgsPrintLayout(project)
        layout.initializeDefaults()
        layout.setName(name)
        project.layoutManager().addLayout(layout)
    assert project.write(uri), project.error()


def main() -> None:
    from qgis.core import QgsApplication

    application = QgsApplication([], False)
    application.initQgis()
    for one in json.load(sys.stdin):
        _write(one["uri"], one["title"], one["layers"], one.get("layouts", []))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
