# SPDX-License-Identifier: GPL-2.0-or-later
"""Bringing up QGIS Server in this process, once, before any fork.

Nothing here opens a project, a dataset or a database: their file offsets and handles
would be shared by all workers (see docs/fork-safety.md).
"""

from __future__ import annotations

import configparser
import contextlib
import logging
import os
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

# isort: off
from qgis.core import Qgis, QgsApplication
from qgis.PyQt.QtCore import QtMsgType, QUrl, qInstallMessageHandler
from qgis.PyQt.QtSql import QSqlDatabase
from qgis.server import QgsServer, QgsServerApi, QgsServiceRegistry

# isort: on

from qgsd.config import Settings, public
from qgsd.repeats import Repeats
from qgsd.worker import service_urls
from qgsd.worker.dependence import Dependence
from qgsd.worker.filters import FeatureLimit
from qgsd.worker.stores.base import without_passwords
from qgsd.worker.warmup import warm_up

logger = logging.getLogger("qgis")

_qt_logger = logging.getLogger("qt")
_qt_repeats = Repeats(pause=60.0)

_LAST = 1_000_000
_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


@dataclass
class QgisServer:
    """A running QGIS Server. The references keep Qt's objects alive as long as the process."""

    application: QgsApplication
    server: QgsServer
    plugins: dict[str, str] = field(default_factory=dict)
    broken_plugins: dict[str, str] = field(default_factory=dict)
    plugin_apis: list[QgsServerApi] = field(default_factory=list)
    limit: FeatureLimit | None = None
    landing_page: str = ""
    service_urls: service_urls.Pairs = field(default_factory=list)
    dependence: Dependence = field(default_factory=lambda: Dependence({}))

    @property
    def version(self) -> str:
        """QGIS's version, such as `3.22.16`."""
        version: str = Qgis.version()
        return version.split("-")[0]

    def has_plugin_api_for(self, url: str) -> bool:
        """Whether an OGC API of a plugin takes requests for this address, or QGIS's own landing page."""
        address = QUrl(url)
        return self._is_landing_page(address.path()) or any(api.accept(address) for api in self.plugin_apis)

    def _is_landing_page(self, path: str) -> bool:
        # Registered by QGIS in C++, so not among those of plugins.
        return bool(self.landing_page) and (path + "/").startswith(self.landing_page + "/")


def start(settings: Settings) -> QgisServer:
    """Start QGIS Server and load its plugins; one that fails is reported and left out."""
    qInstallMessageHandler(_log_qt)
    urls = service_urls.take(os.environ)
    application = QgsApplication([], False)
    # Where it starts QGIS takes the first project file for the one of all requests that name none.
    with contextlib.chdir(tempfile.gettempdir()):
        dependence = Dependence(settings.answer_plugins)
        qgis = QgisServer(application, QgsServer(), service_urls=urls, dependence=dependence)
    interface = qgis.server.serverInterface()
    assert interface is not None
    for failure in warm_up(qgis.server):
        logger.debug("warming up: %s", failure)
    qgis.dependence.watch(interface)
    _log_qgis_messages(qgis_info=settings.logging.qgis_info)
    _watch_registered_apis(qgis.plugin_apis)
    if settings.api_enabled.get(public.LANDING_PAGE):
        qgis.landing_page = os.environ.get("QGIS_SERVER_LANDING_PAGE_PREFIX", "")
    # Packages of QGIS that its plugins may import (py-qgis-server).
    sys.path.append(os.environ.get("QGIS3_PLUGINPATH", "/usr/share/qgis/python/plugins"))
    for folder in _plugin_folders(settings.server.pluginpath):
        _load_plugin(qgis, folder)
    if settings.server.getfeaturelimit >= 0:
        # Else Python would collect the two, which hold each other.
        qgis.limit = FeatureLimit(interface, settings.server.getfeaturelimit)
        # Behind all plugins, which may change requests too.
        with qgis.dependence.loading("getfeaturelimit of qgsd", "nothing"):
            interface.registerFilter(qgis.limit, _LAST)
    _close_credentials()
    return qgis


def _close_credentials() -> None:
    """QGIS has its database of credentials open from its start on; each worker shall open it for itself.

    The master password, which it has read from QGIS_AUTH_PASSWORD_FILE, stays in memory.
    """
    for name in QSqlDatabase.connectionNames():
        QSqlDatabase.database(name, False).close()


def _log_qt(kind: QtMsgType, _context: object, text: str) -> None:
    level = _QT_LEVELS.get(kind, logging.WARNING)
    if _qt_logger.isEnabledFor(level) and (told := _qt_repeats.told(text, time.monotonic())):
        _qt_logger.log(level, "%s", told)


def _log_qgis_messages(*, qgis_info: bool) -> None:
    """QGIS's own messages as log records; its information only when it is wanted."""
    levels = {Qgis.MessageLevel.Warning: logging.WARNING, Qgis.MessageLevel.Critical: logging.ERROR}
    other = logging.INFO if qgis_info else logging.DEBUG

    def received(text: str, tag: str, level: Qgis.MessageLevel) -> None:
        number = levels.get(level, other)
        # QGIS has something to say of every request.
        if logger.isEnabledFor(number):
            logger.log(number, "%s: %s", tag, without_passwords(text))

    message_log = QgsApplication.messageLog()
    assert message_log is not None
    message_log.messageReceived.connect(received)


def _watch_registered_apis(registered: list[QgsServerApi]) -> None:
    """Keep what plugins register: QGIS's registry tells neither which APIs it has nor their paths."""
    register = QgsServiceRegistry.registerApi

    def register_and_keep(registry: QgsServiceRegistry, api: QgsServerApi) -> bool:
        done = bool(register(registry, api))
        if done:
            registered.append(api)
        return done

    QgsServiceRegistry.registerApi = register_and_keep  # type: ignore[method-assign,assignment]


def _plugin_folders(pluginpath: str) -> list[Path]:
    """Folders with a metadata.txt that says `server=True`, as QGIS's own QgsServerPlugins finds them."""
    roots = [
        Path(part) for part in (pluginpath or os.environ.get("QGIS_PLUGINPATH", "")).split(os.pathsep) if part
    ]
    found = []
    for root in roots:
        if str(root) not in sys.path:
            sys.path.append(str(root))
        for metadata in sorted(root.glob("*/metadata.txt")):
            if _metadata(metadata).getboolean("general", "server", fallback=False):
                found.append(metadata.parent)
    return found


def _metadata(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        logger.warning("%s cannot be read, the plugin is left out: %s", path, error)
    return parser


def _load_plugin(qgis: QgisServer, folder: Path) -> None:
    # QGIS's own registry: plugins look each other and the interface up in qgis.utils.
    from qgis import utils

    utils.serverIface = qgis.server.serverInterface()  # type: ignore[assignment]
    name = folder.name
    metadata = _metadata(folder / "metadata.txt")
    # As QGIS's own start leaves it: plugins ask qgis.utils for their version.
    utils.available_plugins.append(name)
    utils.plugins_metadata_parser[name] = metadata
    declared = metadata.get("general", "answersDependOn", fallback="")
    try:
        with qgis.dependence.loading(name, declared):
            __import__(name)
            utils.server_plugins[name] = sys.modules[name].serverClassFactory(utils.serverIface)
        utils.server_active_plugins.append(name)
    except Exception as error:
        logger.error("the plugin %s does not load: %s\n%s", name, error, traceback.format_exc())
        qgis.broken_plugins[name] = str(error) or type(error).__name__
        return
    qgis.plugins[name] = metadata.get("general", "version", fallback="")
    logger.info("plugin %s %s loaded", name, qgis.plugins[name])
