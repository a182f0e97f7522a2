# SPDX-License-Identifier: GPL-2.0-or-later
"""The access log: a line for each request, and a warning for each slow one."""

from __future__ import annotations

import asyncio
import logging
import time

from qgsd.config.options.logging import LoggingSettings
from qgsd.log_file import LogFile, write_all
from qgsd.messages import Timing
from qgsd.proxy.http.access_line import FORMS, Visit, text_fields
from qgsd.proxy.http.handlers import ServiceHandler

logger = logging.getLogger("qgsd.http")

# Seconds that lines of kept answers may wait for each other.
_TOGETHER = 0.05
_STDOUT = 1
# Seconds between two complaints that nothing can be written.
_PAUSE = 60.0


def visit_of(handler: ServiceHandler) -> Visit:
    """What is to be logged of a finished request."""
    request, details = handler.request, handler.details
    timing: Timing = details.get("timing") or Timing()
    return Visit(
        client=request.remote_ip or "",
        method=request.method or "",
        uri=request.uri or "",
        protocol=request.version,
        status=handler.get_status(),
        size=_size(handler),
        referer=request.headers.get("Referer", ""),
        agent=request.headers.get("User-Agent", ""),
        id=handler.request_id,
        seconds=time.monotonic() - handler.started,
        queue=timing.queue,
        load=timing.load,
        render=timing.render,
        project=details.get("project", ""),
        service=details.get("service", ""),
        request=details.get("operation", ""),
        worker=details.get("worker", ""),
        cache="kept" if details.get("cached") else _together(timing),
        trace=handler.trace.trace_id if handler.trace is not None else "",
        error=handler.failure,
    )


def _together(timing: Timing) -> str:
    return "shared" if timing.shared else "metatile" if timing.tiles else "none"


def _size(handler: ServiceHandler) -> int | None:
    """Bytes of the body; of a stream those that have been sent."""
    if handler.request.method == "HEAD" or handler.get_status() in (204, 304):
        return None
    length = handler._headers.get("Content-Length", "")
    return int(length) if length.isdigit() else handler.sent or None


class AccessLog:
    """Called for each finished request. Lines of kept answers wait a moment, to be written together."""

    def __init__(self, settings: LoggingSettings) -> None:
        """OSError when the file cannot be opened."""
        self._file: LogFile | None = None
        self.is_on = settings.access != "off"
        path = settings.file if settings.access == "-" else settings.access
        if self.is_on and path:
            self._file = LogFile(path)
        self._waiting: list[str] = []
        self._lost = 0
        self._complained = 0.0
        self.configure(settings)

    def configure(self, settings: LoggingSettings) -> None:
        """Other settings, as far as they can change while it is open."""
        self.form = FORMS[settings.access_format]

    def __call__(self, handler: ServiceHandler) -> None:
        if self.is_on:
            self._waiting.append(self.form.line(visit_of(handler), time.time()))
            self.flush()

    def refused(self, client: str, first: str, status: int, size: int, id: str, error: str) -> None:
        """A request was refused by its head, or for want of one; `first` is its first line."""
        if self.is_on:
            method, _, rest = first.partition(" ")
            uri, _, protocol = rest.rpartition(" ")
            visit = Visit(client, method, uri, protocol, status, size, "", "", id, error=error)
            self.write_soon(self.form.line(visit, time.time()))

    def write_soon(self, line: str) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(_TOGETHER, self.flush)
        self._waiting.append(line)

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        lines = "\n".join([*self._waiting, ""]).encode()
        count = len(self._waiting)
        self._waiting.clear()
        try:
            if self._file is not None:
                self._file.write(lines)
            else:
                write_all(_STDOUT, lines)
        except OSError as error:
            self._complain(count, error)

    def _complain(self, lines: int, error: OSError) -> None:
        """No request fails because it cannot be logged."""
        self._lost += lines
        now = time.monotonic()
        if not self._complained or now - self._complained >= _PAUSE:
            self._complained = now
            where = self._file.path if self._file else "stdout"
            logger.error("%d lines of the access log are lost: %s: %s", self._lost, where, error.strerror)
            self._lost = 0

    def reopen(self) -> None:
        """The file was moved away: write to a new one."""
        self.flush()
        if self._file is not None:
            self._file.reopen()


class SlowLog:
    """Called for each finished request; tells of those that took `logging.slow` or longer."""

    def __init__(self, settings: LoggingSettings) -> None:
        self.threshold = settings.slow

    def __call__(self, handler: ServiceHandler) -> None:
        threshold = self.threshold
        if not threshold or time.monotonic() - handler.started < threshold:
            return
        visit = visit_of(handler)
        asked = f"{visit.method} {visit.uri}".encode("unicode_escape").decode("ascii")
        logger.warning(
            "slow request: %s: status %d %s id=%s", asked, visit.status, text_fields(visit), visit.id
        )
