# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents that change only with their project."""

from __future__ import annotations

from dataclasses import replace

from bench.load import Request
from bench.servers.in_process import InProcess
from bench.workloads.base import AnyServer, Measured, Repeated, Workload, rate_figures, rate_of


class NotModified(Workload):
    """A conditional GetCapabilities: 304 without a body, where a server gives documents an ETag.

    From others a client has to take the document again: that is what they are measured by.
    """

    key = "304"
    title = "304 to a conditional GetCapabilities (or the document)"
    figures = rate_figures()
    without = frozenset({"in process"})

    def __init__(self, request: Request) -> None:
        self.request = request

    def prepare(self, limit: InProcess) -> None:
        self.body = limit.body(self.request)

    def measure(self, server: AnyServer, pace: float) -> Measured:
        assert not isinstance(server, InProcess)
        _, headers, _ = server.fetch(self.request)
        request, body, lacking = self.request, self.body, "it gives no ETag, so it sends the document"
        if "etag" in headers:
            conditional = (("If-None-Match", headers["etag"]),)
            request, body, lacking = replace(request, headers=conditional, status=304), b"", ""
        seconds = Repeated.seconds * pace
        measured = rate_of(server, lambda: server.repeat(request, body, Repeated.connections, seconds))
        measured.lacking = lacking
        return measured
