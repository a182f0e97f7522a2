# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS_SERVER_WMS_SERVICE_URL and the like: the address of one service, where it has one of its own.

QGIS mixes them up: the variable of WFS counts for WMS, that of WMS for all others (seen in 3.22, and in the
source of later ones). It does read the headers of the same meaning right, so the variables become these.
"""

from __future__ import annotations

from collections.abc import MutableMapping

_HEADERS = {
    "QGIS_SERVER_SERVICE_URL": "X-Qgis-Service-Url",
    "QGIS_SERVER_WMS_SERVICE_URL": "X-Qgis-Wms-Service-Url",
    "QGIS_SERVER_WFS_SERVICE_URL": "X-Qgis-Wfs-Service-Url",
    "QGIS_SERVER_WCS_SERVICE_URL": "X-Qgis-Wcs-Service-Url",
    "QGIS_SERVER_WMTS_SERVICE_URL": "X-Qgis-Wmts-Service-Url",
}

Pairs = list[tuple[str, str]]


def take(environ: MutableMapping[str, str]) -> Pairs:
    """The headers that stand for the variables, which QGIS must not see; to be called before it starts.

    >>> take({"QGIS_SERVER_WFS_SERVICE_URL": "https://maps.example/wfs", "QGIS_SERVER_SERVICE_URL": ""})
    [('X-Qgis-Wfs-Service-Url', 'https://maps.example/wfs')]
    """
    taken = ((header, environ.pop(variable, "")) for variable, header in _HEADERS.items())
    return [(header, url) for header, url in taken if url]


def add(headers: Pairs, urls: Pairs) -> Pairs:
    """A request's headers with those of `urls` that a proxy has not said itself."""
    if not urls:
        return headers
    said = {name.lower() for name, _ in headers}
    return headers + [(name, url) for name, url in urls if name.lower() not in said]
