# SPDX-License-Identifier: GPL-2.0-or-later
"""The environment QGIS starts in. It must stand before the first import of qgis.

What the administrator has set (QGIS_SERVER_*, QGIS_OPTIONS_PATH, PGSERVICEFILE …) is left as it is.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import MutableMapping

from qgsd.config import CacheSettings, RequestsSettings, Settings, public

logger = logging.getLogger("qgsd.template")


def prepare(environ: MutableMapping[str, str], tmpdir: str) -> None:
    """Set what a process without a screen, and one that will fork, needs."""
    # py-qgis-server's name for where QGIS is installed.
    if "QGIS3_HOME" in environ:
        environ.setdefault("QGIS_PREFIX_PATH", environ["QGIS3_HOME"])
    # QGIS draws without a display.
    environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # OpenBLAS (numpy) starts threads at import, which a fork would lose.
    environ["OPENBLAS_NUM_THREADS"] = "1"
    # Qt and Python look here; without it Qt complains and uses a shared folder.
    environ.setdefault("XDG_RUNTIME_DIR", tmpdir)
    use_tmpdir(environ, tmpdir)


def tell_qgis(environ: MutableMapping[str, str], cache: CacheSettings, requests: RequestsSettings) -> None:
    """Let QGIS's own server settings, which services and plugins look at, say what the options say."""
    for side, limit in (("WIDTH", requests.max_width), ("HEIGHT", requests.max_height)):
        if limit:
            environ.setdefault(f"QGIS_SERVER_WMS_MAX_{side}", str(limit))
    environ["QGIS_SERVER_TRUST_LAYER_METADATA"] = str(int(cache.trust_layer_metadata))
    environ["QGIS_SERVER_DISABLE_GETPRINT"] = str(int(cache.disable_getprint))
    environ["QGIS_SERVER_FORCE_READONLY_LAYERS"] = str(int(cache.force_readonly_layers))


def use_tmpdir(environ: MutableMapping[str, str], tmpdir: str) -> None:
    """Let Qt, GDAL and Python make temporary files below `tmpdir`, which the master removes.

    Workers need one each: Qt's generator of random names is copied by a fork, so all
    workers would draw the same names and QTemporaryDir fails from the 214th on.
    """
    environ["TMPDIR"] = tmpdir
    environ["CPL_TMPDIR"] = tmpdir
    tempfile.tempdir = None


def tell_landing_page(environ: MutableMapping[str, str], settings: Settings) -> str:
    """Let QGIS's own landing page know its path and the projects. Its path; empty where it is not wanted."""
    if not settings.api_enabled.get(public.LANDING_PAGE):
        return ""
    path = (public.DEFAULT_ENDPOINTS | settings.api_endpoints)[public.LANDING_PAGE]
    path = "/" + environ.setdefault("QGIS_SERVER_LANDING_PAGE_PREFIX", path).strip("/")
    environ["QGIS_SERVER_LANDING_PAGE_PREFIX"] = path
    folders = "||".join(settings.cache.rootdir) or os.getcwd()
    environ.setdefault("QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES", folders)
    return path


_PROXIES = (
    "GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY", "http_proxy", "https_proxy", "HTTPS_PROXY",
    "all_proxy", "ALL_PROXY",
)  # fmt: skip


def tell_gdal(environ: MutableMapping[str, str], address: str) -> None:
    """Have GDAL ask other servers through the gate, see `network.py`; empty where there is none."""
    if not address:
        return
    if named := [name for name in _PROXIES if environ.get(name)]:
        logger.warning("%s names a proxy: GDAL uses it instead of the gate ([network])", named[0])
        return
    environ["GDAL_HTTP_PROXY"] = environ["GDAL_HTTPS_PROXY"] = address
    # Else libcurl would go past the gate to these.
    environ.pop("no_proxy", None)
    environ.pop("NO_PROXY", None)


def apply(tmpdir: str, settings: Settings, gate: str) -> None:
    prepare(os.environ, tmpdir)
    tell_qgis(os.environ, settings.cache, settings.requests)
    os.environ.update(settings.variables)
    tell_gdal(os.environ, gate)
    tell_landing_page(os.environ, settings)
