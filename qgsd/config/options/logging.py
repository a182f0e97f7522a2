# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told, and where."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import RUN, WORKER, option
from ..kinds import DAY, Boolean, Choice, Number, Path


@dataclass(frozen=True)
class LoggingSettings:
    """[logging]: what is told, and where."""

    level: str = option(
        "info",
        Choice(("debug", "info", "warning", "error", "critical")),
        "least important messages to log",
        flag=("--logging",),
        metavar="{debug,info,warning,error}",
        commands=(RUN, WORKER),
        live=True,
    )
    file: str = option("", Path(), "log here instead of stderr")
    access: str = option("-", Path(words=("-", "off"), empty=False), "access log: - (stdout), off, or a file")
    access_format: str = option(
        "combined",
        Choice(("common", "combined", "json")),
        "form of the access log; each has where the time went and what was asked (docs/logs.md)",
        live=True,
    )
    slow: float = option(
        0.0, Number(0, DAY), "log a request that took so many seconds, as a warning; 0: none", live=True
    )
    qgis_info: bool = option(
        False, Boolean(), "QGIS's own info messages too", live=True, also=("QGSRV_QGIS_INFO",)
    )
