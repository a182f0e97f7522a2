# SPDX-License-Identifier: GPL-2.0-or-later
"""`python write_pictures.py FOLDER`: pictures of every kind that Qt writes, as PNG; the same each time."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PyQt5.QtGui import QColor, QGuiApplication, QImage, QPainter, qRgb

FORMATS = {
    "opaque": QImage.Format_RGB32,
    "transparent": QImage.Format_ARGB32,
    # As QGIS draws them; Qt writes these row by row.
    "premultiplied": QImage.Format_ARGB32_Premultiplied,
    "packed": QImage.Format_RGB888,
    "rgba": QImage.Format_RGBA8888,
    "palette": QImage.Format_Indexed8,
    "grey": QImage.Format_Grayscale8,
    "bits": QImage.Format_Mono,
    "deep": QImage.Format_RGBA64,
}
SIZES = ((1, 1), (1, 9), (9, 1), (256, 256), (130, 265))


def flat(width: int, height: int) -> QImage:
    """Like a map: areas, lines with soft edges, what shines through."""
    picture = QImage(width, height, QImage.Format_ARGB32)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.Antialiasing)
    draw = random.Random(width * height)
    for _ in range(12):
        colour = QColor(draw.randrange(256), draw.randrange(256), draw.randrange(256), draw.choice((90, 255)))
        painter.setBrush(colour)
        x, y = draw.uniform(-0.2, 0.8) * width, draw.uniform(-0.2, 0.8) * height
        painter.drawEllipse(int(x), int(y), width // 2, height // 3)
    painter.end()
    return picture


def photograph(width: int, height: int) -> QImage:
    """Slow changes with noise: hardly a pixel is like its neighbour."""
    picture = QImage(width, height, QImage.Format_RGB32)
    draw = random.Random(width + height)
    for y in range(height):
        for x in range(width):
            light = int(100 + 100 * x / width + draw.uniform(0, 20))
            picture.setPixel(x, y, qRgb(light, (light * 3 + y) % 256, 255 - light))
    return picture


def main(folder: Path) -> None:
    application = QGuiApplication(["", "-platform", "offscreen"])
    for drawn in (flat, photograph):
        for width, height in SIZES:
            picture = drawn(width, height)
            for name, kind in FORMATS.items():
                path = folder / f"{drawn.__name__}-{width}x{height}-{name}.png"
                assert picture.convertToFormat(kind).save(str(path), "PNG")
    # More than is kept to judge by: it is judged by its beginning.
    large = flat(2600, 2000)
    assert large.convertToFormat(QImage.Format_ARGB32_Premultiplied).save(str(folder / "large.png"), "PNG")
    application.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
