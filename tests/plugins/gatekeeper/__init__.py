# SPDX-License-Identifier: GPL-2.0-or-later
"""Access control for the tests: who says X-Lizmap-User: guest sees less."""

from __future__ import annotations

from qgis.server import QgsAccessControlFilter


class Gatekeeper(QgsAccessControlFilter):
    def _is_guest(self) -> bool:
        return self.serverInterface().requestHandler().requestHeader("X-Lizmap-User") == "guest"

    def layerPermissions(self, layer):  # type: ignore[no-untyped-def]
        rights = QgsAccessControlFilter.LayerPermissions()
        hidden = self._is_guest() and layer.name() == "oceans"
        rights.canRead = not hidden
        rights.canInsert = rights.canUpdate = rights.canDelete = not self._is_guest()
        return rights

    def layerFilterExpression(self, layer):  # type: ignore[no-untyped-def]
        if self._is_guest() and layer.name() == "countries":
            return "\"name\" = 'France'"
        return ""

    def layerFilterSubsetString(self, layer):  # type: ignore[no-untyped-def]
        return self.layerFilterExpression(layer)

    def authorizedLayerAttributes(self, layer, attributes):  # type: ignore[no-untyped-def]
        return [name for name in attributes if not (self._is_guest() and name == "population")]

    def allowToEdit(self, layer, feature):  # type: ignore[no-untyped-def]
        return not self._is_guest()

    def cacheKey(self) -> str:
        # Whatever it is: with a key QGIS keeps nothing, neither itself nor in caches of plugins.
        return "guest" if self._is_guest() else ""


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    filter_ = Gatekeeper(server)
    server.registerAccessControl(filter_, 100)
    return filter_
