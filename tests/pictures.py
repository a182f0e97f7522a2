# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documentation, made small: `make screenshots` has the tests take them first."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
TAKEN = ROOT / "build" / "screenshots"
KEPT = ROOT / "docs" / "images"
PICTURES = {
    "landing-light": "landing",
    "map-light": "map",
    "map-phone-light": "map-phone",
    "dashboard-dark": "dashboard",
}


def main() -> None:
    for name, kept in PICTURES.items():
        picture = Image.open(TAKEN / f"{name}.png").convert("RGB")
        # The mean passes keep the colours of small things (links, ticks, dots) apart at a third of the size.
        small = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)
        small.save(KEPT / f"{kept}.png", optimize=True)
    shutil.copyfile(TAKEN / "top.svg", KEPT / "top.svg")


if __name__ == "__main__":
    main()
