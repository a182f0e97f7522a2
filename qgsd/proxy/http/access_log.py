# SPDX-License-Identifier: GPL-2.0-or-later
"""The access log: one line a request, the combined format and behind it where the time went."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from collections.abc import Callable

from tornado.web import RequestHandler

from qgsd.config import Settings
from qgsd.messages import Timing
from qgsd.proxy.http.handlers import ServiceHandler


def _handler(settings: Settings) -> logging.Handler | None:
    where = settings.logging.access
    if where == "off":
        return None
    if where == "-" and not settings.logging.file:
        return logging.StreamHandler(sys.stdout)
    # Watched: it goes on in a new file by itself when logrotate has moved the old one.
    return logging.handlers.WatchedFileHandler(settings.logging.file if where == "-" else where)


def _quoted(text: str) -> str:
    """Safe between double quotes: nothing that a client sends can forge a line."""
    return text.encode("unicode_escape").decode("ascii").replace('"', "%22")


def line(handler: RequestHandler, now: float) -> str:
    """The log line of a finished request."""
    request = handler.request
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(now))
    size = handler._headers.get("Content-Length", "-")
    first = f"{request.method} {request.uri} {request.version}"
    agent, referer = request.headers.get("User-Agent", "-"), request.headers.get("Referer", "-")
    text = (
        f'{request.remote_ip} - - [{stamp}] "{_quoted(first)}" {handler.get_status()} {size} '
        f'"{_quoted(referer)}" "{_quoted(agent)}" rt={request.request_time():.3f}'
    )
    return text + _details(handler) if isinstance(handler, ServiceHandler) else text


def _details(handler: ServiceHandler) -> str:
    timing: Timing = handler.details.get("timing") or Timing()
    worker = _quoted(handler.details.get("worker", "-"))
    shared = " shared" if timing.shared else ""
    failure = f" error={_quoted(handler.failure)}" if handler.failure else ""
    return (
        f" queue={timing.queue:.3f} load={timing.load:.3f} render={timing.render:.3f}"
        f" worker={worker} id={handler.request_id}{shared}{failure}"
    )


def open_access_log(settings: Settings) -> Callable[[RequestHandler], None]:
    """What tornado calls for each finished request. OSError when the file cannot be opened."""
    target = _handler(settings)
    access = logging.getLogger("qgsd.access")
    access.propagate = False
    # Whatever `logging.level` says of qgsd's own messages.
    access.setLevel(logging.INFO)
    access.handlers = [target] if target else []
    if target is None:
        return lambda handler: None
    return lambda handler: access.info("%s", line(handler, time.time()))
