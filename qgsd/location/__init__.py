# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a project is: what a client's MAP means, as far as the text alone tells.

The http child refuses here what no store could serve; the worker, which has the stores,
resolves the rest. So a proxy needs no copy of the projects, and no password leaves the
worker: what travels, queues and is logged is the key, with the name of an alias in it.

MAP is `path` or `scheme:path` or `scheme:path?project=name`. The scheme is that of a store,
or an alias that the administrator has defined for a place in one. What a client may say of
the place itself is little: see `Rules`.
"""

from __future__ import annotations

from .alias import Alias, alias_name
from .place import Location, LocationError, canonical_scheme, no_project, outside
from .rules import Rules, parse_map

PROJECT_SUFFIXES = (".qgs", ".qgz")

__all__ = [
    "PROJECT_SUFFIXES", "Alias", "Location", "LocationError", "Rules", "alias_name", "canonical_scheme",
    "no_project", "outside", "parse_map",
]  # fmt: skip
