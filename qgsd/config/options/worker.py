# SPDX-License-Identifier: GPL-2.0-or-later
"""For `qgsd worker`, the proxy it works for."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import WORKER, option
from ..kinds import Integer, Text


@dataclass(frozen=True)
class WorkerSettings:
    """[worker]: for `qgsd worker`, the proxy it works for."""

    host: str = option(
        "",
        Text(r"[^\s/]+", "a host name or address", empty=True),
        "machine of the proxy; a name with several addresses stands for several proxies",
        flag=("--host",),
        metavar="HOST",
        commands=(WORKER,),
    )
    port: int = option(
        18080,
        Integer(1, 65535),
        "port of the proxy, only for qgsd worker",
        flag=("--port",),
        metavar="PORT",
        commands=(WORKER,),
    )
    name: str = option(
        "",
        Text(r"[\w.-]{1,64}", "up to 64 letters, digits, dots and dashes", empty=True),
        "how the proxy calls this machine; its host name where nothing is given",
    )
