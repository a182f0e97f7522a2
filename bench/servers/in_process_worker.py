# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare QgsServer that is asked without HTTP and without a client; runs under the system's Python.

Reads jobs from its standard input, a JSON document a line, and answers each with one. So it tells what QGIS
itself takes: the limit of what any server around it can reach. Its argument is the number of projects that it
keeps open, the last used ones.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections import OrderedDict
from typing import Any

from qgis.core import QgsApplication, QgsProject
from qgis.server import QgsBufferServerRequest, QgsBufferServerResponse, QgsConfigCache, QgsServer


class Limit:
    """`keep`: so many projects; `loads` counts how often one was opened."""

    def __init__(self, keep: int) -> None:
        self.server = QgsServer()
        self.keep = keep
        self.loads = 0
        self._open: OrderedDict[str, None] = OrderedDict()

    def ask(self, host: str, one: dict[str, Any]) -> QgsBufferServerResponse:
        headers = dict(one["headers"])
        request = QgsBufferServerRequest(f"http://{host}{one['path']}", headers={"Host": host, **headers})
        response = QgsBufferServerResponse()
        self.server.handleRequest(request, response, self._project(request.parameters()["MAP"]))
        return response

    def _project(self, path: str) -> QgsProject:
        """The folder it runs in is that of the projects."""
        if path in self._open:
            self._open.move_to_end(path)
        else:
            self.loads += 1
            self._open[path] = None
            if len(self._open) > self.keep:
                QgsConfigCache.instance().removeEntry(self._open.popitem(last=False)[0])
        return QgsConfigCache.instance().project(path)

    def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """The body in a file of its own, and what is to be expected of others."""
        response = self.ask(job["host"], job["request"])
        body = bytes(response.body())
        with open(job["file"], "wb") as file:
            file.write(body)
        return {"status": response.statusCode(), "expected": [len(body), zlib.crc32(body)]}

    def loop(self, job: dict[str, Any]) -> dict[str, Any]:
        """The requests again and again, until the time is over or the count is reached."""
        requests, seconds = job["requests"], []
        until, count = time.perf_counter() + job["seconds"], job["count"]
        while (began := time.perf_counter()) < until and not (count and len(seconds) >= count):
            self.ask(job["host"], requests[len(seconds) % len(requests)])
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds, "loads": self.loads}


def main() -> None:
    application = QgsApplication([], False)
    limit = Limit(int(sys.argv[1]))
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
