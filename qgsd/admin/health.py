# SPDX-License-Identifier: GPL-2.0-or-later
"""`/livez` and `/readyz` of the management port: of the instance as a whole, also where it has no http.

For everybody, since probes of orchestrators bear no token; they tell no more than yes or no.
"""

from __future__ import annotations

from typing import Any

from tornado.web import url as route

from qgsd.admin.access import Denied
from qgsd.admin.exposition import Gauges
from qgsd.admin.handlers import AdminContext, AdminHandler


class HealthHandler(AdminHandler):
    """Answered from the look of a second ago: asking often costs the master nothing."""

    guarded = False
    gauges: Gauges

    def initialize(self, context: AdminContext, gauges: Gauges) -> None:  # type: ignore[override]
        super().initialize(context)
        self.gauges = gauges


class LiveHandler(HealthHandler):
    """200 as long as the master answers. What else may hang the master replaces itself."""

    def get(self) -> None:
        if not self.gauges.hears:
            raise Denied(503, "no_master", "the master does not answer")
        self.answer({"status": "ok"})

    head = get


class ReadyHandler(HealthHandler):
    """200 when the instance serves and has a worker ready, if it shall have any; else 503."""

    def get(self) -> None:
        if not self.gauges.serves:
            raise Denied(503, "not_ready", "the instance starts or stops, or none of its workers is ready")
        self.answer({"status": "ready"})

    head = get


def health_routes(context: AdminContext, gauges: Gauges) -> list[Any]:
    shared = {"context": context, "gauges": gauges}
    return [route(r"/livez", LiveHandler, shared), route(r"/readyz", ReadyHandler, shared)]
