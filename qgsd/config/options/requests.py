# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request may make QGIS do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..declaration import option
from ..kinds import Boolean, Integer, List


def remote_host(text: str) -> str:
    """A host, `*.DOMAIN` for all below it, or `*`; in small letters. Raises `ValueError`."""
    name = text.strip().lower().removeprefix("[").removesuffix("]")
    if name != "*" and not re.fullmatch(r"(\*\.)?[a-z0-9_][a-z0-9_.:-]*|::[0-9a-f:.]*", name):
        raise ValueError(f"{text!r} is not a host")
    return name


@dataclass(frozen=True)
class RequestsSettings:
    """[requests]: what a request may make QGIS do; 0 = no bound."""

    max_width: int = option(
        16384, Integer(0, 1_000_000), "widest picture, in pixels; above it 400", live=True
    )
    max_height: int = option(
        16384, Integer(0, 1_000_000), "highest picture, in pixels; above it 400", live=True
    )
    max_pixels: int = option(
        64_000_000, Integer(0, 10**12), "most pixels in a picture (4 bytes each, in a worker)", live=True
    )
    max_dpi: int = option(
        1200, Integer(0, 1_000_000), "finest DPI of maps and prints; above it 400", live=True
    )
    remote_hosts: tuple[str, ...] = option(
        (),
        List(remote_host, "hosts, *.DOMAIN for those below, * for all", empty=True),
        "hosts that requests may name: SLD=, layers of EXTERNAL_WMS, pictures in SLD_BODY and in prints",
        live=True,
    )
    expressions: bool = option(
        False,
        Boolean(),
        "let filters and print labels of requests use functions that read the environment, files and layers",
        live=True,
    )
