# SPDX-License-Identifier: GPL-2.0-or-later
"""All metadata is in pyproject.toml; this places example, units and manual pages beside the package."""

from pathlib import Path

from setuptools import setup

EXAMPLE = Path("examples/world")
FILES = sorted(str(path) for path in EXAMPLE.glob("*") if path.suffix in (".qgs", ".gpkg", ".tif", ".md"))

UNITS = sorted(str(path) for path in Path("systemd").iterdir())

# By section: qgsd.ini.5 goes to man5.
MANUALS = [
    (f"share/man/man{number}", sorted(map(str, Path("docs/man").glob(f"*.{number}")))) for number in (1, 5)
]

setup(data_files=[("share/qgsd/examples/world", FILES), ("share/qgsd/systemd", UNITS), *MANUALS])
