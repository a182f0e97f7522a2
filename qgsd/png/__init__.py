# SPDX-License-Identifier: GPL-2.0-or-later
"""How QGIS's PNG pictures are written: as QGIS writes them, or in fewer bytes (`compact.c`, which says how).

QGIS and Qt leave no choice of libpng's filters to a server. What is loaded before libpng has it.
"""

from __future__ import annotations

from pathlib import Path

QGIS = "qgis"
COMPACT = "compact"

# The loader takes these for the end of a path, see ld.so(8).
_SEPARATORS = " :"


def find() -> str:
    """The path of the library; empty where it was not built, as there was no C compiler."""
    return next((str(path) for path in Path(__file__).parent.glob("compact*.so")), "")


def problem(choice: str) -> str:
    """Why pictures cannot be written so, in words for the administrator; empty if they can."""
    if choice != COMPACT:
        return ""
    library = find()
    if not library:
        return (
            "its library is not built: install a C compiler (Debian: gcc, libc6-dev) and qgsd again from its "
            "sources (pip install --no-binary qgsd --force-reinstall --no-deps qgsd)"
        )
    if any(separator in library for separator in _SEPARATORS):
        return f"the loader cannot read the path {library}: install qgsd in one without spaces and colons"
    return ""


def library(choice: str) -> str:
    """What is to be loaded for this choice; empty for nothing."""
    return find() if choice == COMPACT else ""
