# SPDX-License-Identifier: GPL-2.0-or-later
"""Drawing neighbouring maps as one picture, and cutting that up.

QGIS itself is asked for the large map, as any client could ask for it. Whatever is not as it should be (an
error, another size, a plugin that changes answers by rules nobody knows) is no failure: the maps are drawn
one by one then, and each has its own answer of QGIS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from msgspec.structs import replace
from qgis.core import QgsCoordinateReferenceSystem, QgsProject
from qgis.PyQt.QtCore import QBuffer, QIODevice, QRect
from qgis.PyQt.QtGui import QImage

from qgsd import messages
from qgsd.worker.adapters import StreamedResponse, qgis_request
from qgsd.worker.qgis_server import QgisServer
from qgsd.worker.row import Row

logger = logging.getLogger("qgsd.worker")

InTime = Callable[[StreamedResponse], AbstractContextManager[None]]


@dataclass(frozen=True)
class Cut:
    """The answers: their common headers, and a picture for each."""

    headers: messages.Headers
    pictures: list[bytes]


def draw(
    qgis: QgisServer, requests: Sequence[messages.Request], project: QgsProject, in_time: InTime
) -> Cut | None:
    """The answers to these requests, in their order; None if they have to be drawn one by one."""
    if not qgis.dependence.code or qgis.dependence.depends() is None:
        return None
    try:
        row = Row.of([request.url for request in requests])
        upright = _is_upright(row)
        if upright is None:
            return None
        answer = _Gathered()
        response = StreamedResponse(answer.take)
        url = row.url(upright=upright)
        asked = replace(requests[0], url=url)
        with in_time(response):
            qgis.server.handleRequest(qgis_request(asked, b"", qgis.service_urls), response, project)
        response.finish()
    except Exception as error:
        # QGIS raises what plugins raise; each map will say so for itself.
        logger.debug("%d maps are drawn one by one: %s", len(requests), error)
        return None
    return None if response.cancelled else _cut(row, answer, upright=upright)


def _is_upright(row: Row) -> bool | None:
    """Whether they lie one above the other; None where that makes another map of them.

    In degrees QGIS takes the scale from the latitude of the picture's middle.
    """
    version = row.field("VERSION")
    crs = QgsCoordinateReferenceSystem.fromOgcWmsCrs(row.field("CRS" if version == "1.3.0" else "SRS"))
    if not crs.isValid():
        return None
    north_first = version == "1.3.0" and crs.hasAxisInverted()
    upright = row.axis == (0 if north_first else 1)
    return None if upright and crs.isGeographic() else upright


class _Gathered:
    """An answer of QGIS as a whole."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: messages.Headers = []
        self._pieces: list[bytes] = []

    def take(self, status: int, headers: messages.Headers, data: bytes, _last: bool) -> None:
        if not self.status:
            self.status, self.headers = status, headers
        self._pieces.append(data)

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)


def _cut(row: Row, answer: _Gathered, *, upright: bool) -> Cut | None:
    said = {name.lower(): value for name, value in answer.headers}
    if answer.status != 200 or said.get("content-type") != "image/png":
        return None
    image = QImage()
    if not image.loadFromData(answer.body, "PNG"):
        return None
    if (image.width(), image.height()) != row.whole_size(upright=upright):
        return None
    width, height = row.size
    pictures = [_png(image.copy(QRect(x, y, width, height))) for x, y in row.corners(upright=upright)]
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    return Cut(headers, pictures)


def _png(image: QImage) -> bytes:
    """As QGIS writes it."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data())
