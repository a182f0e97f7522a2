# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds what the benchmark serves: `/usr/bin/python3 bench/data/build.py FOLDER`. About a minute, once."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent


def stamp() -> str:
    """Tells this way of building from others."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py")))).hexdigest()


def is_built(folder: Path) -> bool:
    mark = folder / "stamp"
    return mark.exists() and mark.read_text() == stamp()


def build(folder: Path) -> None:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import fetch
    import layers
    import project

    raw, served = folder / "raw", folder / "root"
    raw.mkdir(parents=True, exist_ok=True)
    served.mkdir(exist_ok=True)
    fetch.fetch(raw)
    layers.build(raw, served / "world.gpkg")
    project.build(served / "world.gpkg", served)
    (folder / "stamp").write_text(stamp())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: build.py FOLDER")
    build(Path(sys.argv[1]))
    # QGIS's destructors have nothing to save.
    os._exit(0)
