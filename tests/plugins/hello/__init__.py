# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters of every form, for the tests: they answer, change requests, paint maps, rewrite streams."""

from __future__ import annotations

from qgis.core import Qgis, QgsProject
from qgis.PyQt.QtCore import QBuffer, QByteArray, QIODevice
from qgis.PyQt.QtGui import QColor, QImage
from qgis.server import QgsServerFilter


class Hello(QgsServerFilter):
    """SERVICE=HELLO is answered by the filter alone, with a status and headers of its own."""

    def requestReady(self) -> None:
        handler = self.serverInterface().requestHandler()
        if handler.parameter("SERVICE").upper() == "FAIL":
            raise RuntimeError("a filter that fails")
        if alias := handler.requestHeader("X-Lizmap-Layers"):
            handler.setParameter("LAYERS", alias)

    def responseComplete(self) -> None:
        handler = self.serverInterface().requestHandler()
        if handler.parameter("SERVICE").upper() != "HELLO":
            return
        handler.clear()
        handler.setStatusCode(418)
        handler.setResponseHeader("Content-Type", "text/plain; charset=utf-8")
        handler.setResponseHeader("X-Hello", handler.requestHeader("X-Qgis-Name") or "nobody")
        handler.appendBody("Grüße, 世界".encode())


class Watermark(QgsServerFilter):
    """Paints the upper left corner of PNG maps when it is asked to."""

    def responseComplete(self) -> None:
        handler = self.serverInterface().requestHandler()
        parameters = handler.parameterMap()
        if "WATERMARK" not in parameters or handler.exceptionRaised():
            return
        image = QImage.fromData(handler.body())
        for x in range(10):
            for y in range(10):
                image.setPixelColor(x, y, QColor("#ff00ff"))
        painted = QByteArray()
        buffer = QBuffer(painted)
        buffer.open(QIODevice.WriteOnly)
        image.save(buffer, "PNG")
        handler.clearBody()
        handler.appendBody(painted)


class Shouting(QgsServerFilter):
    """Rewrites each piece of a stream as it passes, exactly once, when it is asked to by its parameter."""

    parameter = "SHOUT"

    def requestReady(self) -> None:
        self.pieces = 0

    def sendResponse(self) -> None:
        handler = self.serverInterface().requestHandler()
        if self.parameter not in handler.parameterMap():
            return
        self.pieces += 1
        piece = bytes(handler.body())
        handler.clearBody()
        handler.appendBody(piece.replace(b"a", b"aA"))
        # Only the first comes before the headers have gone.
        handler.setResponseHeader("X-Piece", str(self.pieces))


class LateShouting(Shouting):
    """The form since QGIS 3.24: what a filter returns says whether the next one is asked."""

    parameter = "SHOUTLATE"

    def onRequestReady(self) -> bool:
        self.requestReady()
        return True

    def onSendResponse(self) -> bool:
        self.sendResponse()
        return "HUSH" not in self.serverInterface().requestHandler().parameterMap()

    def onResponseComplete(self) -> bool:
        parameters = self.serverInterface().requestHandler().parameterMap()
        return "HUSH" not in parameters


class Opened(QgsServerFilter):
    """Tells which project is served; QGIS asks from 3.36 on, between the two others."""

    def onProjectReady(self) -> bool:
        handler = self.serverInterface().requestHandler()
        handler.setResponseHeader("X-Opened", QgsProject.instance().baseName())
        return True


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    # In the order in which they are asked.
    kinds = [LateShouting, Opened] if Qgis.QGIS_VERSION_INT >= 32400 else []
    filters = [kind(server) for kind in (*kinds, Hello, Watermark, Shouting)]
    for priority, filter_ in enumerate(filters, 100):
        server.registerFilter(filter_, priority)
    return filters
