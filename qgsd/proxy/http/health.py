# SPDX-License-Identifier: GPL-2.0-or-later
"""Health for load balancers and orchestrators: `/ping`, `/livez`, `/readyz`."""

from __future__ import annotations

from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import ServiceHandler


class LiveHandler(ServiceHandler):
    """The process answers, so it lives."""

    def get(self) -> None:
        self.take_body()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Server-Status", "ok")
        self.finish({"status": "ok"})

    head = get


class ReadyHandler(ServiceHandler):
    """200 when a worker can answer, 503 while starting or draining."""

    def get(self) -> None:
        self.take_body()
        self.set_header("Cache-Control", "no-store")
        if self.context.draining:
            self.refuse(HttpError(503, "draining", "this server is being stopped or replaced"))
        elif self.context.upstream.workers == 0:
            self.refuse(HttpError(503, "no_worker", "no worker is ready yet"))
        else:
            self.finish({"status": "ready", "workers": self.context.upstream.workers})

    head = get
