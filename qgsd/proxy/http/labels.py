# SPDX-License-Identifier: GPL-2.0-or-later
"""The labels of the metrics, bounded whatever clients ask for. Pure."""

from __future__ import annotations

from typing import NamedTuple

OTHER = "other"
NONE = "none"

_SERVICES = {"WMS", "WFS", "WCS", "WMTS", "WFS3", "API"}
_OPERATIONS = {
    name.lower(): name
    for name in (
        "GetCapabilities", "GetProjectSettings", "GetMap", "GetFeatureInfo", "GetLegendGraphic",
        "GetLegendGraphics", "GetStyle", "GetStyles", "DescribeLayer", "GetContext", "GetSchemaExtension",
        "GetPrint", "GetFeature", "DescribeFeatureType", "Transaction", "GetCoverage", "DescribeCoverage",
        "GetTile", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
    )
}  # fmt: skip
# More than any server of maps is asked in earnest; beyond it requests are only told apart by status.
_MOST = 2000


class Labels(NamedTuple):
    """What a request is counted under."""

    project: str
    service: str
    request: str
    status: str


class LabelBook:
    """Gives labels. A project gets its name once QGIS has answered for it: clients can invent names."""

    def __init__(self) -> None:
        self._projects: set[str] = set()
        self._given: set[Labels] = set()

    def of(
        self, project: str, service: str, operation: str, status: int, *, answered: bool, most: int
    ) -> Labels:
        """The labels of a request; `answered` by QGIS with success, of `most` projects.

        >>> LabelBook().of("world", "wms", "getmap", 200, answered=True, most=50)
        Labels(project='world', service='WMS', request='GetMap', status='200')
        """
        service = service.upper()
        wanted = Labels(
            self._project(project, answered=answered, most=most),
            service if service in _SERVICES else (OTHER if service else NONE),
            _OPERATIONS.get(operation.lower(), OTHER if operation else NONE),
            str(status),
        )
        if wanted in self._given:
            return wanted
        if len(self._given) >= _MOST:
            return Labels(OTHER, OTHER, OTHER, wanted.status)
        self._given.add(wanted)
        return wanted

    def _project(self, project: str, *, answered: bool, most: int) -> str:
        if not project:
            return NONE
        if project not in self._projects:
            if not answered or len(self._projects) >= most:
                return OTHER
            self._projects.add(project)
        return project
