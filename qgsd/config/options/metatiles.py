# SPDX-License-Identifier: GPL-2.0-or-later
"""Neighbouring tiles that are rendered as one."""

from __future__ import annotations

from qgsd.keeping import pattern_name

from ..declaration import OpenSection
from ..kinds import Integer

OPEN_SECTIONS = (
    OpenSection(
        section="metatiles",
        field="metatiles",
        name=pattern_name,
        names="a project as in MAP=, with * for any letters",
        kind=Integer(0, 64),
        about="of which projects neighbouring tiles that wait at the same time are rendered as one picture.",
        help="so many at once at most; what crosses edges, as labels do, may look otherwise (docs/tiles.md)",
        example="town/*=8",
        live=True,
    ),
)
