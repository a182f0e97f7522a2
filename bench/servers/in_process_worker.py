# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare QgsServer that is asked without HTTP and without a client; runs under the system's Python.

Reads jobs from its standard input, a JSON document a line, and answers each with one. So it tells what QGIS
itself takes: the limit of what any server around it can reach.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from typing import Any

from qgis.core import QgsApplication
from qgis.server import QgsBufferServerRequest, QgsBufferServerResponse, QgsConfigCache, QgsServer


class Limit:
    def __init__(self) -> None:
        self.server = QgsServer()

    def ask(self, host: str, one: dict[str, Any]) -> QgsBufferServerResponse:
        headers = dict(one["headers"])
        request = QgsBufferServerRequest(f"http://{host}{one['path']}", headers={"Host": host, **headers})
        response = QgsBufferServerResponse()
        # The folder it runs in is that of the projects.
        project = QgsConfigCache.instance().project(request.parameters()["MAP"])
        self.server.handleRequest(request, response, project)
        return response

    def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """The body in a file of its own, and what is to be expected of others."""
        response = self.ask(job["host"], job["request"])
        body = bytes(response.body())
        with open(job["file"], "wb") as file:
            file.write(body)
        return {"status": response.statusCode(), "expected": [len(body), zlib.crc32(body)]}

    def loop(self, job: dict[str, Any]) -> dict[str, Any]:
        """Every `step`th request from `first` on, again and again, until the time is over."""
        requests, at, step = job["requests"], job["first"], job["step"]
        until, seconds = time.perf_counter() + job["seconds"], []
        count = job["count"]
        while (began := time.perf_counter()) < until and not (count and len(seconds) >= count):
            self.ask(job["host"], requests[at % len(requests)])
            seconds.append(time.perf_counter() - began)
            at += step
        return {"seconds": seconds}


def main() -> None:
    application = QgsApplication([], False)
    limit = Limit()
    # QGIS writes to the standard output now and then.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for row in sys.stdin:
        job = json.loads(row)
        out.write(json.dumps(limit.loop(job) if "seconds" in job else limit.answer(job)) + "\n")
    del application
    os._exit(0)


if __name__ == "__main__":
    main()
