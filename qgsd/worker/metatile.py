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
from urllib.parse import parse_qsl

from msgspec.structs import replace
from qgis.core import QgsCoordinateReferenceSystem, QgsProject
from qgis.PyQt.QtCore import QBuffer, QIODevice, QRect
from qgis.PyQt.QtGui import QImage

from qgsd import messages
from qgsd.worker.adapters import StreamedResponse, qgis_request
from qgsd.worker.qgis_server import QgisServer
from qgsd.worker.row import Row
from qgsd.worker.wmts import as_map

logger = logging.getLogger("qgsd.worker")

# Tiles that are drawn at most to find one that shows something, and proofs that are remembered.
_TRIES = 3
_MOST_PROVED = 1000

InTime = Callable[[StreamedResponse], AbstractContextManager[None]]


@dataclass(frozen=True)
class Cut:
    """The answers: their common headers, and a picture for each."""

    headers: messages.Headers
    pictures: list[bytes]


class Metatiles:
    """Draws for one worker, and remembers of which tiles of WMTS it knows what QGIS makes of them."""

    def __init__(self, qgis: QgisServer, in_time: InTime) -> None:
        self._qgis = qgis
        self._in_time = in_time
        self._proved: dict[tuple[object, ...], bool] = {}

    def draw(self, requests: Sequence[messages.Request], project: QgsProject, generation: int) -> Cut | None:
        """The answers to these requests, in their order; None if they have to be drawn one by one."""
        if not self._qgis.dependence.code or self._qgis.dependence.depends() is None:
            return None
        try:
            return self._draw(requests, project, generation)
        except Exception as error:
            # QGIS raises what plugins raise; each map will say so for itself.
            logger.debug("%d maps are drawn one by one: %s", len(requests), error)
            return None

    def _draw(self, requests: Sequence[messages.Request], project: QgsProject, generation: int) -> Cut | None:
        urls = [request.url for request in requests]
        if requests[0].service.upper() == "WMTS":
            maps = [as_map(url) for url in urls]
            if not all(maps) or not self._is_proved(requests, maps, project, generation):
                return None
            urls = [url for url in maps if url is not None]
        row = Row.of(urls)
        upright = _is_upright(row)
        if upright is None:
            return None
        answer = self._ask(requests[0], row.url(upright=upright), project)
        return _cut(row, answer, upright=upright)

    def _ask(self, request: messages.Request, url: str, project: QgsProject) -> _Gathered:
        """QGIS's answer at this address, to who has sent the request."""
        answer = _Gathered()
        response = StreamedResponse(answer.take)
        asked = qgis_request(replace(request, url=url), b"", self._qgis.service_urls)
        with self._in_time(response):
            self._qgis.server.handleRequest(asked, response, project)
        response.finish()
        # Of what was broken off nothing has been passed on.
        return answer

    def _is_proved(
        self,
        requests: Sequence[messages.Request],
        maps: Sequence[str | None],
        project: QgsProject,
        generation: int,
    ) -> bool:
        """A tile as QGIS gives it is the map that it is taken for. That it gives it at all is seen as well.

        What shows nothing proves nothing.
        """
        first = requests[0]
        key = (first.project, generation, *_without_place(first.url))
        for request, url in zip(requests[:_TRIES], maps, strict=False):
            if key in self._proved or url is None:
                break
            tile = self._ask(request, request.url, project).image()
            if tile is None:
                return False
            if not _is_blank(tile):
                if len(self._proved) >= _MOST_PROVED:
                    self._proved.clear()
                self._proved[key] = bool(self._ask(request, url, project).image() == tile)
        return self._proved.get(key, False)


def _without_place(url: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    return [(name, value) for name, value in pairs if name.upper() not in ("TILECOL", "TILEROW")]


def _is_blank(image: QImage) -> bool:
    blank = QImage(image)
    blank.fill(image.pixelColor(0, 0))
    return bool(blank == image)


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

    def image(self) -> QImage | None:
        """The picture; None for any other answer."""
        said = {name.lower(): value for name, value in self.headers}
        if self.status != 200 or said.get("content-type") != "image/png":
            return None
        image = QImage()
        return image if image.loadFromData(b"".join(self._pieces), "PNG") else None


def _cut(row: Row, answer: _Gathered, *, upright: bool) -> Cut | None:
    image = answer.image()
    if image is None or (image.width(), image.height()) != row.whole_size(upright=upright):
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
