# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents that change only with their project."""

from __future__ import annotations

from dataclasses import replace

from bench.load import Request
from bench.servers.in_process import InProcess
from bench.workloads.base import AnyServer, Measured, Repeated, Workload, rate_figures, rate_of


class NotModified(Workload):
    """A conditional GetCapabilities: 304 without a body, where a server gives documents an ETag."""

    key = "304"
    title = "304 to a conditional GetCapabilities"
    figures = rate_figures()
    without = frozenset({"in process"})

    def __init__(self, request: Request) -> None:
        self.request = request

    def prepare(self, limit: InProcess) -> None:
        pass

    def measure(self, server: AnyServer, pace: float) -> Measured:
        assert not isinstance(server, InProcess)
        _, headers, _ = server.fetch(self.request)
        if "etag" not in headers:
            return Measured(lacking="it gives no ETag")
        conditional = (("If-None-Match", headers["etag"]),)
        request = replace(self.request, headers=conditional, status=304)
        if server.fetch(request)[0] != 304:
            return Measured(lacking="it does not answer 304")
        seconds = Repeated.seconds * pace
        return rate_of(server, lambda: server.repeat(request, b"", Repeated.connections, seconds))
