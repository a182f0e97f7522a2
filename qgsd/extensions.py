# SPDX-License-Identifier: GPL-2.0-or-later
"""Entry points by which other packages extend qgsd."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from qgsd.location import canonical_scheme

STORES = "qgsd.stores"


@cache
def store_schemes() -> frozenset[str]:
    """The schemes of stores that other packages bring, whether or not they load."""
    return frozenset(canonical_scheme(point.name) for point in entry_points(group=STORES))
