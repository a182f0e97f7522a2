# SPDX-License-Identifier: GPL-2.0-or-later
"""An http child: the listening sockets, TLS, the routes, and leaving without cutting anyone off."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

import zmq

from qgsd import descriptors, messages, telemetry
from qgsd.child import Child
from qgsd.proxy.catalog import Catalog
from qgsd.proxy.http.access_log import AccessLog, SlowLog
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.guard import ClientGuard
from qgsd.proxy.http.health import LiveHandler, ReadyHandler
from qgsd.proxy.http.hot import HotAnswers
from qgsd.proxy.http.landing import landing_routes
from qgsd.proxy.http.port import ServicePort
from qgsd.proxy.http.qgis import OgcApiHandler, OtherPathHandler, OwsHandler
from qgsd.proxy.http.responder import Route, Routes
from qgsd.proxy.http.status import StatusHandler
from qgsd.proxy.http.store import Store
from qgsd.proxy.http.tally import open_tally
from qgsd.proxy.http.upstream import Upstream
from qgsd.scoreboard import State
from qgsd.tls import context_of

if TYPE_CHECKING:
    from qgsd.proxy.http.spans import Spans

logger = logging.getLogger("qgsd.http")

# The limits are looked at before (`guard.py`) and behind the parser (`handlers.py`), who would only hang up.
_PARSER_BODY = 1 << 40
_BEAT = 0.5


def routes(context: HttpContext) -> list[Route]:
    """Every path of the service port, in order of precedence."""
    shared = {"context": context}
    return [
        (r"/ows/?", OwsHandler, shared),
        (r"/(?:wfs3|ogcapi)(?:[/.].*)?", OgcApiHandler, shared),
        (r"/(?:ping|livez)", LiveHandler, shared),
        (r"/readyz", ReadyHandler, shared),
        (r"/status(?:/.*)?", StatusHandler, shared),
        *landing_routes(context),
    ]


class HttpChild:
    """The process: from `Begin` to its last connection."""

    def __init__(self, child: Child) -> None:
        self.child = child
        settings = child.settings
        upstream = Upstream(zmq.Context(), child.begin.front, child.board)
        answers = settings.answers
        self.context = HttpContext(
            settings,
            upstream,
            child.row,
            Catalog(*settings.cache.rootdir),
            Store(answers.memory, child.begin.answers, answers.disk),
            AccessLog(settings.logging),
            SlowLog(settings.logging),
            child.begin.token,
        )
        hot = self.context.hot = HotAnswers(self.context)
        if child.begin.slot == 0:
            upstream.on_replaced = self._free
        self.context.spans = _open_spans(child)
        tally = open_tally(child.begin.metrics, self.context)
        told = (self.context.access_log, self.context.slow_log, tally, self.context.spans)
        self.context.on_finished = [one for one in told if one is not None]
        self.server = ServicePort(
            Routes(routes(self.context), (OtherPathHandler, {"context": self.context})),
            ssl_options=context_of(child.begin.tls, settings.server),
            guard=ClientGuard(self.context),
            direct=hot.answer,
            max_body_size=_PARSER_BODY,
        )
        self.over = asyncio.Event()

    async def run(self) -> None:
        for listener in self.child.listeners:
            listener.setblocking(False)
        self.server.add_sockets(self.child.listeners)
        self.child.obey(self._obey, self.over.set)
        self.child.ready()
        beating = asyncio.create_task(self._beat())
        await self.over.wait()
        beating.cancel()
        self.context.upstream.close()
        self.context.access_log.flush()
        if self.context.spans is not None:
            self.context.spans.close()

    async def _beat(self) -> None:
        while True:
            if not self.context.draining:
                self.child.row.state = State.BUSY if self.context.busy else State.IDLE
            self.child.beat()
            await asyncio.sleep(_BEAT)

    def _free(self, projects: list[str]) -> None:
        """Answers from before these projects changed are of no use any more."""
        self._freeing = asyncio.create_task(self.context.store.drop(projects))

    def _obey(self, order: messages.Order) -> None:
        match order:
            case messages.Configure():
                self.child.configure(order)
                self.context.configure(self.child.settings)
                # For connections from now on; those that are there keep what they have.
                self.server.ssl_options = context_of(order.tls, self.child.settings.server)
            case messages.ReopenLogs():
                self.context.access_log.reopen()
            case messages.Drain(linger) if not self.context.draining:
                self.context.draining = True
                self._leaving = asyncio.create_task(self._leave(linger))
            case _:
                pass

    async def _leave(self, linger: float) -> None:
        """Accept nothing new, answer what runs, then close what is left."""
        self.child.row.state = State.DRAINING
        self.server.stop()
        patience = time.monotonic() + linger
        while self.server.open:
            if time.monotonic() >= patience:
                self._close_idle()
            await asyncio.sleep(0.02)
        while self.context.upstream.busy:
            await asyncio.sleep(0.02)
        self.over.set()

    def _close_idle(self) -> None:
        streams = {getattr(connection, "stream", None) for connection in self.context.busy}
        for connection in list(self.server.open):
            if connection.stream not in streams:
                connection.stream.close()


def _open_spans(child: Child) -> Spans | None:
    """Where OpenTelemetry's variables ask for them. Nothing of it is imported otherwise."""
    if problem := telemetry.problem(os.environ):
        if child.begin.slot == 0:
            logger.warning("%s", problem)
        return None
    if not telemetry.is_asked_for(os.environ):
        return None
    from qgsd.proxy.http.spans import Spans

    return Spans(child.begin.instance)


class _NoHandshakes(logging.Filter):
    """Whoever knocks at a port of TLS with something else is no concern of the administrator's."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("SSL Error") or logger.isEnabledFor(logging.DEBUG)


def main() -> None:
    """Run as a child of the master: `python -m qgsd.proxy.http.server`."""
    child = Child.start()
    descriptors.raise_limit()
    logging.getLogger("tornado.general").addFilter(_NoHandshakes())

    async def run() -> None:
        await HttpChild(child).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
