# SPDX-License-Identifier: GPL-2.0-or-later
"""The access log: one line a request, the combined format and behind it where the time went."""

from __future__ import annotations

import asyncio
import functools
import logging
import logging.handlers
import sys
import time

from tornado.web import RequestHandler

from qgsd.config import Settings
from qgsd.messages import Timing
from qgsd.proxy.http.handlers import ServiceHandler

# Seconds that lines of hits may wait for each other.
_TOGETHER = 0.05


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
    before, behind = around(handler)
    size = handler._headers.get("Content-Length", "-")
    text = f"{request.remote_ip} - - [{_stamp(now)}] {before} {size} {behind} rt={request.request_time():.3f}"
    return text + _details(handler) if isinstance(handler, ServiceHandler) else text


def around(handler: RequestHandler) -> tuple[str, str]:
    """What stands before and behind the size in the lines of this and all equal requests."""
    request = handler.request
    first = f"{request.method} {request.uri} {request.version}"
    agent, referer = request.headers.get("User-Agent", "-"), request.headers.get("Referer", "-")
    return f'"{_quoted(first)}" {handler.get_status()}', f'"{_quoted(referer)}" "{_quoted(agent)}"'


def hit_line(known: tuple[str, str], client: str, now: float, size: str, request_id: str) -> str:
    """The line of an answer from what is kept; `known` from `around`."""
    return (
        f"{client} - - [{_stamp(now)}] {known[0]} {size} {known[1]} rt=0.000"
        f" queue=0.000 load=0.000 render=0.000 worker=- id={request_id} cached"
    )


def refusal_line(
    client: str, first: str, now: float, status: int, size: int, request_id: str, code: str
) -> str:
    """The line of a request that was refused by its head, or for want of one; `first` is its first line."""
    return (
        f'{client} - - [{_stamp(now)}] "{_quoted(first)}" {status} {size} "-" "-" rt=0.000'
        f" queue=0.000 load=0.000 render=0.000 worker=- id={request_id} error={code}"
    )


@functools.lru_cache(maxsize=1)
def _stamp_of_second(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))


def _stamp(now: float) -> str:
    return _stamp_of_second(int(now))


def _details(handler: ServiceHandler) -> str:
    timing: Timing = handler.details.get("timing") or Timing()
    worker = _quoted(handler.details.get("worker", "-"))
    shared = " cached" if handler.details.get("cached") else " shared" if timing.shared else ""
    failure = f" error={_quoted(handler.failure)}" if handler.failure else ""
    return (
        f" queue={timing.queue:.3f} load={timing.load:.3f} render={timing.render:.3f}"
        f" worker={worker} id={handler.request_id}{shared}{failure}"
    )


class AccessLog:
    """Tornado calls it for each finished request. Lines of hits wait a moment, to be written together."""

    def __init__(self, access: logging.Logger | None) -> None:
        self._access = access
        self._waiting: list[str] = []

    @property
    def is_on(self) -> bool:
        return self._access is not None

    def __call__(self, handler: RequestHandler) -> None:
        if self._access is not None:
            self._waiting.append(line(handler, time.time()))
            self.flush()

    def write_soon(self, text: str) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(_TOGETHER, self.flush)
        self._waiting.append(text)

    def flush(self) -> None:
        """Write what waits."""
        if self._access is not None and self._waiting:
            self._access.info("%s", "\n".join(self._waiting))
            self._waiting.clear()


def open_access_log(settings: Settings) -> AccessLog:
    """OSError when the file cannot be opened."""
    target = _handler(settings)
    access = logging.getLogger("qgsd.access")
    access.propagate = False
    # Whatever `logging.level` says of qgsd's own messages.
    access.setLevel(logging.INFO)
    access.handlers = [target] if target else []
    return AccessLog(access if target else None)
