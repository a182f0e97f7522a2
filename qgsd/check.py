# SPDX-License-Identifier: GPL-2.0-or-later
"""`qgsd check`: is this machine ready for this configuration?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from qgsd import pyqgis, telemetry
from qgsd.config import Loaded, render
from qgsd.errors import StartError
from qgsd.extensions import policies_in_vain
from qgsd.master import control_access, management
from qgsd.master.instance import check_settings
from qgsd.master.spawn import User

_QGIS = (
    "import os; os.environ['QT_QPA_PLATFORM'] = 'offscreen'\n"
    "from qgis.core import Qgis; import qgis.server; print(Qgis.QGIS_VERSION)"
)


def check(loaded: Loaded) -> int:
    """Print every option in force and where it came from, then what stands in the way; 0 if nothing does."""
    print(render.listing(loaded), end="")
    told = [
        *management.warnings(loaded.settings.management),
        *control_access.warnings(loaded.settings.control),
    ]
    if problem := telemetry.problem(os.environ):
        told.append(problem)
    for line in (*policies_in_vain(), *told):
        print(f"warning: {line}")
    problems = [problem for problem in (_settings_problem(loaded), _qgis_problem(loaded)) if problem]
    for problem in problems:
        print(f"qgsd: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _settings_problem(loaded: Loaded) -> str:
    settings = loaded.settings
    try:
        check_settings(settings, "proxy" if settings.server.proxy else "server")
        if settings.server.setuid:
            User.named(settings.server.setuid)
    except StartError as error:
        return str(error)
    return ""


def _qgis_problem(loaded: Loaded) -> str:
    if loaded.settings.server.proxy:
        return ""
    # Qt wants a folder to be named; nothing is written there.
    environment = {"XDG_RUNTIME_DIR": tempfile.gettempdir()} | os.environ
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _QGIS], capture_output=True, text=True, env=environment, check=False
    )
    if tried.returncode == 0:
        print(f"QGIS {tried.stdout.strip()}")
        return ""
    reason = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"QGIS cannot be imported by {sys.executable} ({reason}); {pyqgis.advice()}"
