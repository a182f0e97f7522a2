# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do where PyQGIS is missing: it is on no registry, and works under the system's own Python only."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_SYSTEM = "/usr"
_INSTALL = "install Debian's python3-qgis and qgis-server"
_VENV = "`/usr/bin/python3 -m venv --system-site-packages FOLDER`"


def advice(prefix: str = sys.prefix, base: str = sys.base_prefix) -> str:
    """What a person should do whose Python, with that prefix and base prefix, cannot import qgis.

    >>> advice("/usr", "/usr")
    "install Debian's python3-qgis and qgis-server"
    >>> advice("/opt/python", "/opt/python")[:62]
    "PyQGIS works under the system's own Python only, not that in /"
    """
    if base != _SYSTEM:
        return (
            f"PyQGIS works under the system's own Python only, not that in {base}: {_INSTALL}, make {_VENV}"
        )
    if prefix != base and not _sees_system(Path(prefix)):
        return (
            f"the virtual environment {prefix} does not see the system's packages: make it anew by {_VENV}, "
            f"and {_INSTALL}"
        )
    return _INSTALL


def _sees_system(environment: Path) -> bool:
    """Whether it was made with --system-site-packages (PEP 405)."""
    try:
        text = (environment / "pyvenv.cfg").read_text()
    except OSError:
        return False
    return bool(re.search(r"(?mi)^include-system-site-packages *= *true", text))
