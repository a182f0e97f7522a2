# SPDX-License-Identifier: GPL-2.0-or-later
"""Which servers QGIS may ask."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..declaration import option
from ..kinds import Boolean, List
from .requests import remote_host

WORDS = ("public", "own")


def network_host(text: str) -> str:
    """`public`, `own`, a network as 10.1.0.0/16, or a host as `remote_host` has it. Raises `ValueError`.

    >>> network_host("10.1.2.3/16"), network_host("Public"), network_host("[::1]")
    ('10.1.0.0/16', 'public', '::1')
    """
    word = text.strip().lower()
    if re.fullmatch(r"[0-9a-f:.]+/[0-9]{1,3}", word):
        return str(ipaddress.ip_network(word, strict=False))
    return remote_host(word)


@dataclass(frozen=True)
class NetworkSettings:
    """[network]: which servers QGIS may ask for layers, pictures and data, by HTTP."""

    gate: bool = option(
        True, Boolean(), "have all that QGIS asks by HTTP pass a gate that knows the address it connects to"
    )
    hosts: tuple[str, ...] = option(
        WORDS,
        List(network_host, "public, own, hosts, *.DOMAIN, networks (10.1.0.0/16), or *", empty=True),
        "what the gate lets through: public = addresses of the internet, own = this very server",
        live=True,
    )
