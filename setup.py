# SPDX-License-Identifier: GPL-2.0-or-later
"""All metadata is in pyproject.toml; this places example, units and manual pages beside the package.

It also builds the library of `png=compact` where there is a C compiler. QGSD_PURE=1 in the environment
leaves that out, for a wheel that fits every machine.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

EXAMPLE = Path("examples/world")
FILES = sorted(str(path) for path in EXAMPLE.glob("*") if path.suffix in (".qgs", ".gpkg", ".tif", ".md"))

UNITS = sorted(str(path) for path in Path("systemd").iterdir())

# By section: qgsd.ini.5 goes to man5.
MANUALS = [
    (f"share/man/man{number}", sorted(map(str, Path("docs/man").glob(f"*.{number}")))) for number in (1, 5)
]

# No module of Python: it is loaded before QGIS. Without a compiler, qgsd does without.
COMPACT_PNG = Extension(
    "qgsd.png.compact",
    ["qgsd/png/compact.c"],
    extra_compile_args=["-O3", "-Wall", "-Wextra"],
    py_limited_api=True,
    optional=True,
)

setup(
    ext_modules=[] if os.environ.get("QGSD_PURE") else [COMPACT_PNG],
    data_files=[("share/qgsd/examples/world", FILES), ("share/qgsd/systemd", UNITS), *MANUALS],
)
