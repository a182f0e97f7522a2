# SPDX-License-Identifier: GPL-2.0-or-later
"""All metadata is in pyproject.toml; this places the bundled example beside the package."""

from pathlib import Path

from setuptools import setup

EXAMPLE = Path("examples/world")
FILES = sorted(str(path) for path in EXAMPLE.glob("*") if path.suffix in (".qgs", ".gpkg", ".tif", ".md"))

UNITS = sorted(str(path) for path in Path("systemd").iterdir())

setup(data_files=[("share/qgsd/examples/world", FILES), ("share/qgsd/systemd", UNITS)])
