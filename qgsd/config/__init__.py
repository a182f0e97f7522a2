# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration of qgsd.

Every option is declared once, as a field in `options`. From that come the ini file, the environment, the
command line, `qgsd config`, `qgsd check`, and what children are told.

>>> load(None, {}, {("server", "workers"): "4"}).settings.server.workers
4
"""

from . import render
from .arguments import add_flags, add_set_flag, overrides_from
from .catalogue import changes, declarations, find, in_force, named
from .declaration import Declaration
from .errors import ConfigError
from .loading import Loaded, load, with_value
from .options import (
    CacheSettings,
    ConfineSettings,
    ControlSettings,
    LoggingSettings,
    ManagementSettings,
    NetworkSettings,
    RequestsSettings,
    ServerSettings,
    Settings,
    SupervisionSettings,
    WorkerSettings,
    ZmqSettings,
    public,
)

__all__ = [
    "CacheSettings",
    "ConfigError",
    "ConfineSettings",
    "ControlSettings",
    "Declaration",
    "Loaded",
    "LoggingSettings",
    "ManagementSettings",
    "NetworkSettings",
    "RequestsSettings",
    "ServerSettings",
    "Settings",
    "SupervisionSettings",
    "WorkerSettings",
    "ZmqSettings",
    "add_flags",
    "add_set_flag",
    "changes",
    "declarations",
    "find",
    "in_force",
    "load",
    "named",
    "overrides_from",
    "public",
    "render",
    "with_value",
]
