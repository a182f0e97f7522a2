# SPDX-License-Identifier: GPL-2.0-or-later
"""The admin child: serves the management port, and knows of the instance what any client of the control
socket can know. So it may crash, hang or be slow without anybody else noticing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from tornado.web import url as route

from qgsd import messages
from qgsd.admin.access import Denied
from qgsd.admin.api import api_routes
from qgsd.admin.dashboard import dashboard_routes
from qgsd.admin.exposition import Gauges, MetricsHandler
from qgsd.admin.handlers import AdminContext, AdminHandler
from qgsd.admin.health import health_routes
from qgsd.admin.legacy import legacy_routes
from qgsd.admin.link import MasterLink
from qgsd.admin.live import Live
from qgsd.child import Child
from qgsd.scoreboard import State
from qgsd.tls import context_of

logger = logging.getLogger("qgsd.admin")

_BEAT = 0.5
_LARGEST_BODY = 1 << 20
_PATIENCE = 10.0
_IDLE = 75.0


class OtherPathHandler(AdminHandler):
    """There is nothing here."""

    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def _nothing(self) -> None:
        raise Denied(
            404, "not_found",
            f"there is nothing at {self.request.path}; there are /metrics, /status and /api/. "
            "What QGIS and its plugins answer is on the service port",
        )  # fmt: skip

    get = head = post = put = patch = delete = options = _nothing


def routes(context: AdminContext, gauges: Gauges, live: Live) -> list[Any]:
    """Every path of the management port."""
    return [
        route(r"/metrics", MetricsHandler, {"context": context, "gauges": gauges}),
        *health_routes(context, gauges),
        *api_routes(context),
        *dashboard_routes(context, live),
        *legacy_routes(context),
    ]


def _log(handler: RequestHandler) -> None:
    request = handler.request
    logger.debug("%s %s %s: %d", request.remote_ip, request.method, request.path, handler.get_status())


class AdminChild:
    """The process: from `Begin` to its last connection."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.context = AdminContext(child.settings, MasterLink(child.begin.control, *child.keys[:1]))
        self.gauges = Gauges(self.context.link, child.begin.metrics)
        self.live = Live(self.context, self.gauges)
        self.application = Application(
            routes(self.context, self.gauges, self.live),
            default_handler_class=OtherPathHandler,
            default_handler_args={"context": self.context},
            log_function=_log,
        )
        self.server = HTTPServer(
            self.application,
            ssl_options=context_of(child.begin.tls),
            max_body_size=_LARGEST_BODY,
            body_timeout=_PATIENCE,
            idle_connection_timeout=_IDLE,
        )
        self.over = asyncio.Event()

    async def run(self) -> None:
        for listener in self.child.listeners:
            listener.setblocking(False)
        self.server.add_sockets(self.child.listeners)
        self.child.obey(self._obey, self.over.set)
        self.child.ready()
        running = [asyncio.create_task(task) for task in (self._beat(), self.gauges.watch())]
        await self.over.wait()
        for task in running:
            task.cancel()
        await self.server.close_all_connections()

    async def _leave(self) -> None:
        """Answer what is under way, then go. A restart asked for here ends before we do."""
        self.server.stop()
        self.live.close()
        while self.context.busy:
            await asyncio.sleep(0.02)
        self.over.set()

    async def _beat(self) -> None:
        while True:
            self.child.beat()
            await asyncio.sleep(_BEAT)

    def _obey(self, order: messages.Order) -> None:
        match order:
            case messages.Configure():
                self.child.configure(order)
                self.context.settings = self.child.settings
                self.server.ssl_options = context_of(order.tls)
            case messages.Drain() if not self.context.leaving:
                self.child.row.state = State.DRAINING
                self.context.leaving = True
                self._going = asyncio.create_task(self._leave())
            case _:
                pass


def main() -> None:
    """Run as a child of the master: `python -m qgsd.admin.server`."""
    child = Child.start()

    async def run() -> None:
        await AdminChild(child).run()

    asyncio.run(run())
    # Threads that wait for the master must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
