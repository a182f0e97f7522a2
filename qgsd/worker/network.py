# SPDX-License-Identifier: GPL-2.0-or-later
"""Having QGIS and GDAL ask other servers through the gate.

Seen with QGIS 3.22: all of QGIS's own requests (WMS, WFS, XYZ, ArcGIS, pictures and drawings by address,
also of threads) go by its network manager's proxy, GDAL's by its own option (`environment.py`). Threads
have managers of their own, which read QGIS's settings; so the proxy stands in a file of global settings,
which an administrator's own settings come before. Where these, or the environment, name a proxy
already, that one is kept.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from qgis.core import QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtNetwork import QNetworkProxy

logger = logging.getLogger("qgsd.worker")


def use_gate(address: str, tmpdir: str) -> None:
    """In a worker, before its first request. `address` as HOST:PORT, empty where there is no gate."""
    if not address:
        return
    host, _, port = address.rpartition(":")
    if QgsSettings().value("proxy/proxyEnabled", False, bool):
        logger.warning("QGIS's settings name a proxy: it is used instead of the gate ([network])")
        return
    path = Path(tmpdir, "global_settings.ini")
    given = QgsSettings.globalSettingsPath()
    before = Path(given).read_text(errors="replace") if os.path.isfile(given) else ""
    proxy = f"proxyEnabled=true\nproxyType=HttpProxy\nproxyHost={host}\nproxyPort={port}\n"
    path.write_text(f"{before}\n[proxy]\n{proxy}")
    QgsSettings.setGlobalSettingsPath(str(path))
    manager = QgsNetworkAccessManager.instance()
    assert manager is not None
    # Made before the fork, with the settings of then.
    manager.setFallbackProxyAndExcludes(QNetworkProxy(QNetworkProxy.HttpProxy, host, int(port)), [], [])
