# SPDX-License-Identifier: GPL-2.0-or-later
"""Entry points by which other packages extend qgsd."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from qgsd.location import canonical_scheme

STORES = "qgsd.stores"


_POLICIES = "py_qgis_server.access_policy"


def policies_in_vain() -> list[str]:
    """A line for each access policy for py-qgis-server that is installed beside qgsd, which applies none."""
    return [
        f"the package of the access policy {point.value} is installed, but qgsd does not apply it: use an "
        "access control plugin of QGIS, or let the web server in front decide"
        for point in entry_points(group=_POLICIES)
    ]


@cache
def store_schemes() -> frozenset[str]:
    """The schemes of stores that other packages bring, whether or not they load."""
    return frozenset(canonical_scheme(point.name) for point in entry_points(group=STORES))
