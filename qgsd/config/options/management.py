# SPDX-License-Identifier: GPL-2.0-or-later
"""The port for metrics, the dashboard and the control commands as REST."""

from __future__ import annotations

from dataclasses import dataclass

from ..declaration import option
from ..forms import address
from ..kinds import Boolean, Integer, List, Path, Text


@dataclass(frozen=True)
class ManagementSettings:
    """[management]: the port for metrics, the dashboard and the control commands as REST."""

    enabled: bool = option(False, Boolean(), "serve the management port")
    interfaces: tuple[str, ...] = option(
        ("127.0.0.1",),
        List(address, "IPv4 or IPv6 addresses, host names, unix:/path"),
        "addresses of the management port; from other machines it wants the token",
    )
    port: int = option(19876, Integer(0, 65535), "management port to listen on; 0 lets the kernel choose")
    ssl: bool = option(False, Boolean(), "serve HTTPS on the management port")
    ssl_cert: str = option("", Path(), "certificate of the management port, with its chain (PEM)")
    ssl_key: str = option("", Path(), "private key of that certificate (PEM)")
    token: str = option(
        "",
        Text(r"[!-~]+", "visible ASCII characters without blanks", empty=True),
        "who sends it as Bearer token may change things; without one nobody may",
        live=True,
        secret=True,
    )
    token_file: str = option("", Path(), "file with the token, instead of token", live=True)
    metric_projects: int = option(
        50, Integer(0, 1000), "projects that metrics tell apart; all others together are `other`", live=True
    )
