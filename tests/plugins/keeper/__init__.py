# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache for the tests: keeps WFS capabilities and says in them that they were kept."""

from __future__ import annotations

from qgis.PyQt.QtCore import QByteArray
from qgis.server import QgsServerCacheFilter

MARK = b"<!-- kept -->"


class Keeper(QgsServerCacheFilter):
    def __init__(self, server) -> None:  # type: ignore[no-untyped-def]
        super().__init__(server)
        self._kept: dict[tuple[str, str], bytes] = {}

    def getCachedDocument(self, project, request, key):  # type: ignore[no-untyped-def]
        return QByteArray(self._kept.get((request.url().query(), key), b""))

    def setCachedDocument(self, doc, project, request, key):  # type: ignore[no-untyped-def]
        if request.parameters().get("SERVICE") != "WFS":
            return False
        self._kept[request.url().query(), key] = doc.toByteArray().data() + MARK
        return True


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    keeper = Keeper(server)
    server.registerServerCache(keeper, 100)
    return keeper
