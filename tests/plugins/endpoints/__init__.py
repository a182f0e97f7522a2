# SPDX-License-Identifier: GPL-2.0-or-later
"""OGC APIs of a plugin, for the tests: `/town` by handlers of QGIS, `/plain` by hand."""

from __future__ import annotations

import json
import os

from qgis.PyQt.QtCore import QRegularExpression
from qgis.server import QgsServerApi, QgsServerOgcApi, QgsServerOgcApiHandler, QgsServerQueryStringParameter


class Square(QgsServerOgcApiHandler):
    """`/town/square?side=N`."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentTypes([QgsServerOgcApi.JSON])

    def path(self):  # type: ignore[no-untyped-def]
        return QRegularExpression("/square")

    def operationId(self) -> str:
        return "square"

    def summary(self) -> str:
        return "Squares a number"

    def description(self) -> str:
        return "Squares a number"

    def linkTitle(self) -> str:
        return "Square"

    def linkType(self):  # type: ignore[no-untyped-def]
        return QgsServerOgcApi.data

    def parameters(self, context):  # type: ignore[no-untyped-def]
        kind = QgsServerQueryStringParameter.Type.Integer
        return [QgsServerQueryStringParameter("side", True, kind, "the side")]

    def handleRequest(self, context) -> None:  # type: ignore[no-untyped-def]
        side = self.values(context)["side"]
        self.write({"area": side * side, "self": self.href(context, "", "")}, context)


class Plain(QgsServerApi):
    """Tells what it was asked, for any method."""

    def name(self) -> str:
        return "plain"

    def rootPath(self) -> str:
        return "/plain"

    def executeRequest(self, context) -> None:  # type: ignore[no-untyped-def]
        request, response = context.request(), context.response()
        project = context.project()
        told = {
            "method": request.methodToString(request.method()),
            "path": request.url().path(),
            "body": bytes(request.data()).decode(),
            "project": os.path.basename(project.fileName()) if project else None,
        }
        response.setStatusCode(202)
        response.setHeader("Content-Type", "application/json")
        response.write(json.dumps(told))


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    town = QgsServerOgcApi(server, "/town", "town", "an API of a plugin", "1.0")
    town.registerHandler(Square())
    plain = Plain(server)
    server.serviceRegistry().registerApi(town)
    server.serviceRegistry().registerApi(plain)
    return town, plain
