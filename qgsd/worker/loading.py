# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading one project as the settings want it: what QGIS reads, what clients may write, and checks it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from qgis.core import Qgis, QgsMapLayer, QgsProject, QgsVectorLayer

from qgsd.config import CacheSettings
from qgsd.keeping import fits
from qgsd.location import LocationError
from qgsd.worker.stores import ProjectError, Source
from qgsd.worker.stores.base import without_passwords

# Where a project says at which address it is served, by service.
_OWN_ADDRESSES = ("WMSUrl", "WFSUrl", "WCSUrl", "WMTSUrl")
_TRANSACTIONS = ("Insert", "Update", "Delete")


def load(
    source: Source, settings: CacheSettings, read: Callable[[QgsProject, Any], None] | None = None
) -> QgsProject:
    """The project, ready to be served. `read(project, flags)` reads it otherwise than its store does.

    Raises `ProjectError` when it does not load or, under `strict_check`, has invalid layers.
    """
    project = QgsProject()
    writable = any(fits(pattern, source.key) for pattern in settings.writable_projects)
    readonly = settings.force_readonly_layers and not writable
    flags = read_flags(settings, readonly=readonly)
    if read is None:
        source.store.read(project, source.uri, flags)
    else:
        read(project, flags)
    if readonly:
        _make_readonly(project)
    if settings.disable_owsurls:
        for service in _OWN_ADDRESSES:
            project.removeEntry(service, "/")
    if settings.strict_check:
        _refuse_invalid_layers(project, source)
    return project


def read_flags(settings: CacheSettings, *, readonly: bool) -> Any:
    """QgsProject.ReadFlags for the settings. Left out is what QGIS Server itself leaves out."""
    # A tenth of the time that loading takes.
    flags: Any = QgsProject.ReadFlags(QgsProject.FlagDontStoreOriginalStyles)
    if settings.trust_layer_metadata:
        flags |= QgsProject.FlagTrustLayerMetadata
    if settings.disable_getprint:
        flags |= QgsProject.FlagDontLoadLayouts
    if hasattr(Qgis, "ProjectReadFlag"):
        # QGIS 3.26 and 3.40
        flags |= getattr(Qgis.ProjectReadFlag, "DontLoad3DViews", 0)
        flags |= getattr(Qgis.ProjectReadFlag, "DontUpgradeAnnotations", 0)
        if readonly:
            # QGIS 3.28
            flags |= getattr(Qgis.ProjectReadFlag, "ForceReadOnlyLayers", 0)
    return flags


def uses_databases(project: QgsProject) -> bool:
    """Whether a layer has its data in PostgreSQL."""
    return any(layer.providerType() == "postgres" for layer in project.mapLayers().values())


def _make_readonly(project: QgsProject) -> None:
    """No service may write: QGIS allows transactions for the layers of these lists only.

    QGIS 3.28 opens the layers for reading as well; earlier ones cannot. A layer that is read-only stops
    plugins, which edit layers, but not WFS-T: seen with QGIS 3.22, it inserts by the provider all the same.
    """
    for operation in _TRANSACTIONS:
        project.removeEntry("WFSTLayers", f"/{operation}")
    for layer in project.mapLayers().values():
        if isinstance(layer, QgsVectorLayer):
            layer.setReadOnly(True)


def _refuse_invalid_layers(project: QgsProject, source: Source) -> None:
    invalid = [layer for layer in project.mapLayers().values() if not layer.isValid()]
    if invalid:
        reasons = "; ".join(f"{layer.name()}: {_why_invalid(layer)}" for layer in invalid)
        # Where the server keeps its files is nobody else's business.
        if folder := os.path.dirname(source.uri):
            reasons = reasons.replace(folder + os.sep, "")
        raise ProjectError(f"'{source.key}' has invalid layers: {reasons}")


def _why_invalid(layer: QgsMapLayer) -> str:
    """QGIS's reason, where it has one. Never the source itself, which may hold a password."""
    error = layer.error()
    # The summary of an empty QgsError reads behind the end of a list and crashes (seen with QGIS 3.22).
    return "its data source cannot be opened" if error.isEmpty() else without_passwords(error.summary())


class BrokenProjects:
    """Projects that did not load, for `ttl` seconds or until they change, so that not each request tries."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float, LocationError]] = {}

    def remember(self, uri: str, version: str, error: LocationError) -> None:
        self._known[uri] = (version, time.monotonic(), error)

    def raise_known(self, uri: str, version: str, ttl: float) -> None:
        """Raises again what was raised lately for this version."""
        for old in [key for key, (_, since, _) in self._known.items() if time.monotonic() - since >= ttl]:
            del self._known[old]
        known = self._known.get(uri)
        if known and known[0] == version:
            raise known[2]
