# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages for people: the list of projects at / and the map of each."""

from __future__ import annotations

from dataclasses import dataclass

from qgsd.keeping import pattern_name

from ..declaration import option
from ..kinds import Boolean, List


@dataclass(frozen=True)
class LandingSettings:
    """[landing]: the pages for people, the list of projects at / and the map of each at /map/."""

    enabled: bool = option(True, Boolean(), "serve these pages; no = 404 there", live=True)
    hide: tuple[str, ...] = option(
        (),
        List(pattern_name, "projects as in MAP=, with * for any letters", empty=True),
        "projects without these pages; OGC services still answer who knows their names",
        live=True,
    )
