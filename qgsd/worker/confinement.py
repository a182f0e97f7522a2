# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker gives up before it serves, and cannot take back: RLIMITs, soft and hard, files and ports.

After the fork, in the worker: the template must not have the limits, and a worker has one thread then.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import qgsd
from qgsd import landlock, messages
from qgsd.config import ConfineSettings, Settings

# What programs need to run at all: libraries, data of PROJ and GDAL, fonts, names of hosts and users.
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/var/cache/fontconfig",
    "/var/lib/ghostscript", "/run/systemd/resolve", "/run/resolvconf", "/run/postgresql",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
# Variables that name files or folders which QGIS, GDAL, PROJ or libpq read.
_NAMING = (
    "QGIS_PREFIX_PATH", "QGIS3_HOME", "QGIS_PLUGINPATH", "QGIS3_PLUGINPATH", "QGIS_AUTH_PASSWORD_FILE",
    "QGIS_GLOBAL_SETTINGS_FILE", "PYTHONPATH", "PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSFILE", "PGSSLROOTCERT",
    "PGSSLCERT", "PGSSLKEY", "PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "FONTCONFIG_PATH",
    "FONTCONFIG_FILE",
)  # fmt: skip
_PROFILES = ("QGIS_OPTIONS_PATH", "QGIS_CUSTOM_CONFIG_PATH", "QGIS_AUTH_DB_DIR_PATH")
_AT_HOME = (".fonts", ".local/share/fonts", ".postgresql", ".pg_service.conf", ".pgpass", ".config")
_PROFILE_AT_HOME = (".local/share/QGIS", ".qgis", ".cache")


def apply(settings: Settings, begin: messages.Begin, tmpdir: str) -> None:
    """Once in each worker. A limit that is lower already stays. OSError when the kernel refuses."""
    limit(settings.confine)
    if settings.confine.files or settings.confine.ports:
        readable, writable = ["/"], ["/"]
        if settings.confine.files:
            readable, writable = paths(settings, os.environ, tmpdir)
        landlock.restrict(readable, writable, _ports(settings, begin))


def limit(settings: ConfineSettings) -> None:
    """The RLIMITs."""
    wanted = {
        resource.RLIMIT_AS: settings.address_space,
        resource.RLIMIT_NOFILE: settings.open_files,
        resource.RLIMIT_FSIZE: settings.file_size,
    }
    for kind, most in wanted.items():
        if most:
            _lower(kind, most)
    if not settings.core_dumps:
        _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, most: int) -> None:
    soft, hard = resource.getrlimit(kind)
    bounds = [most, *(bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY)]
    resource.setrlimit(kind, (min(bounds), most if hard == resource.RLIM_INFINITY else min(hard, most)))


def paths(settings: Settings, environ: Mapping[str, str], tmpdir: str) -> tuple[list[str], list[str]]:
    """What a worker may read, and what it may write (and read)."""
    home = Path(environ.get("HOME", "/nonexistent"))
    roots = [*(settings.cache.rootdir or (os.getcwd(),)), *_of_aliases(settings.schemes)]
    plugins = settings.server.pluginpath or environ.get("QGIS_PLUGINPATH", "")
    own = [sys.prefix, sys.base_prefix, str(Path(qgsd.__file__).parent)]
    named = [part for name in _NAMING for part in environ.get(name, "").split(os.pathsep)]
    readable = [*_SYSTEM, *own, *roots, *plugins.split(os.pathsep), *named, *settings.confine.read]
    readable += [str(home / name) for name in _AT_HOME]
    # Copies of projects lie beside the folders for temporary files.
    writable = [*_DEVICES, tmpdir, str(Path(tmpdir).parent / "projects"), *settings.confine.write]
    writable += [str(home / name) for name in _PROFILE_AT_HOME]
    writable += [environ.get(name, "") for name in _PROFILES]
    if not settings.cache.force_readonly_layers or settings.cache.writable_projects:
        writable += roots
    return [path for path in readable if path], [path for path in writable if path]


def _of_aliases(schemes: Mapping[str, str]) -> list[str]:
    """Folders and GeoPackages that aliases stand for."""
    found = [re.match(r"(?:file|geopackage):(?://)?(/[^?{]*)", url) for url in schemes.values()]
    return [match[1] for match in found if match]


def _ports(settings: Settings, begin: messages.Begin) -> list[int] | None:
    """Those that the operator names, the gate's, and the dispatcher's on another machine."""
    if not settings.confine.ports:
        return None
    ours = [begin.gate, *(address for address in begin.back if address.startswith("tcp://"))]
    return [
        *map(int, settings.confine.ports),
        *(int(address.rpartition(":")[2]) for address in ours if address),
    ]
