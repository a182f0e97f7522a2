# SPDX-License-Identifier: GPL-2.0-or-later
"""`/status`, where `server.status_page` asks for it: versions and state, as in py-qgis-server."""

from __future__ import annotations

import tornado

from qgsd import __version__
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import ServiceHandler

# What py-qgis-server shows there and qgsd does not, and where it is.
_ELSEWHERE = {
    "/status/config": "the configuration holds secrets: qgsdctl config, or qgsd check",
    "/status/env": "the environment holds secrets: qgsd check tells which variables set options",
    "/status/stats": "figures are at /metrics of the management port, and in qgsdctl status",
}


class StatusHandler(ServiceHandler):
    """State and versions. 404 unless it is wanted, 403 with the place for what would show secrets."""

    def get(self) -> None:
        self.take_body()
        path = self.request.path.rstrip("/")
        if not self.settings.server.status_page or path not in (
            "/status",
            "/status/versions",
            *_ELSEWHERE,
        ):
            self.refuse(HttpError(404, "not_found", f"there is nothing at {self.request.path}"))
        elif path in _ELSEWHERE:
            self.refuse(HttpError(403, "not_shown", _ELSEWHERE[path]))
        else:
            self.set_header("Cache-Control", "no-store")
            self.finish(self._told())

    head = get

    def _told(self) -> dict[str, object]:
        workers = self.context.upstream.workers
        state = "draining" if self.context.draining else "running" if workers else "starting"
        base = f"{self.request.protocol}://{self.request.host}"
        return {
            "version": __version__,
            "tornado_ver": tornado.version,
            "state": state,
            "links": [
                {"href": f"{base}{path}", "rel": rel, "title": title, "type": "application/json"}
                for path, rel, title in (
                    ("/status/versions", "status", "Versions"),
                    ("/status/", "self", "Server status"),
                )
            ],
        }
