# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS Server itself, without a line of qgsd: answers requests that come as JSON lines on stdin.

`python -m tests.differential.reference` in the folder of the projects. A request is
`[method, url, headers, body in base64]`, an answer `[status, [[name, value], …], body in base64]`.
QGIS finds the project by MAP itself. Answers go to the descriptor that was stdout: QGIS and GDAL print too.
"""

from __future__ import annotations

import base64
import json
import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import QgsApplication
from qgis.server import (
    QgsBufferServerRequest,
    QgsBufferServerResponse,
    QgsServer,
    QgsServerRequest,
)

_METHODS = {
    "GET": QgsServerRequest.GetMethod,
    "HEAD": QgsServerRequest.HeadMethod,
    "POST": QgsServerRequest.PostMethod,
    "PUT": QgsServerRequest.PutMethod,
    "PATCH": QgsServerRequest.PatchMethod,
    "DELETE": QgsServerRequest.DeleteMethod,
}


def answer(server: QgsServer, line: str) -> str:
    method, url, headers, body = json.loads(line)
    request = QgsBufferServerRequest(url, _METHODS[method], headers, base64.b64decode(body))
    response = QgsBufferServerResponse()
    server.handleRequest(request, response)
    sent = list(response.headers().items())
    return json.dumps([response.statusCode(), sent, base64.b64encode(bytes(response.body())).decode()])


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    application = QgsApplication([], False)
    server = QgsServer()
    for line in sys.stdin:
        print(answer(server, line), file=out, flush=True)
    del application
    os._exit(0)


if __name__ == "__main__":
    main()
