# SPDX-License-Identifier: GPL-2.0-or-later
"""Kept answers for requests that have been understood before, without understanding them again.

Clients repeat their requests byte for byte. What such a head was answered with from what is kept, the next
one of the same bytes is answered with too, before tornado parses it: that costs a fifth. All that an answer
may depend on stands in those bytes, in the settings, and in what the dispatcher told of the project; when
the latter change nothing is remembered any more, or is seen to be outdated.
"""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from tornado.httputil import HTTPHeaders, format_timestamp

from qgsd.proxy.http.access_log import visit_of
from qgsd.proxy.http.handlers import new_request_id
from qgsd.proxy.http.store import Kept
from qgsd.proxy.http.trust import names_client

if TYPE_CHECKING:
    from qgsd.proxy.http.context import HttpContext
    from qgsd.proxy.http.qgis import QgisHandler
    from qgsd.proxy.http.spans import Attributes

_MOST = 4096
_LONGEST_HEAD = 4096
# Said anew for each answer.
_OWN = {"date", "x-request-id", "server-timing"}
_TIMING = b"Server-Timing: queue;dur=0.0, load;dur=0.0, render;dur=0.0, cache;desc=hit\r\n"


@dataclass(slots=True)
class _Known:
    """What to answer. The body stands in `kept`, in `coding`, as long as that is kept."""

    kept: weakref.ref[Kept]
    key: str
    project: str
    stamp: int
    head: bytes
    request_id: bytes
    with_body: bool
    coding: str
    logged: str
    span: Attributes | None
    trusted: bool
    client: str
    asked: tuple[str, str, str]


def _has_body(headers: HTTPHeaders) -> bool:
    return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers


class HotAnswers:
    """See the module's text."""

    def __init__(self, context: HttpContext) -> None:
        self._context = context
        self._known: dict[bytes, _Known] = {}
        self._second = 0
        self._date = b""

    def forget(self) -> None:
        """Other settings."""
        self._known.clear()

    def remember(self, handler: QgisHandler, kept: Kept, key: str, project: str, stamp: int) -> None:
        """The handler has just answered from `kept`: so it shall be done with all requests of this head."""
        request, status = handler.request, handler.get_status()
        head = getattr(getattr(request.connection, "stream", None), "head", b"")
        if self._context.settings.server.ssl_client_subject:
            # The answer may depend on the connection, which the head does not tell.
            return
        plain = request.method == "GET" and request.version == "HTTP/1.1" and status in (200, 304)
        closes = "close" in request.headers.get("Connection", "").lower() or "Connection" in handler._headers
        # Of a trace there is no second request like this.
        once = "Traceparent" in request.headers
        if not plain or closes or once or not head or len(head) > _LONGEST_HEAD or _has_body(request.headers):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        headers = handler._headers
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.get_all() if name.lower() not in _OWN]
        self._known[head] = _Known(
            kept=weakref.ref(kept),
            key=key,
            project=project,
            stamp=stamp,
            head="\r\n".join([*lines, ""]).encode("latin-1"),
            request_id=handler.request_id.encode("latin-1") if handler.names_itself else b"",
            with_body=status == 200,
            coding=headers.get("Content-Encoding", "") if kept.codings else "",
            logged=self._template(handler),
            span=self._context.spans.attributes(handler) if self._context.spans is not None else None,
            # A trusted proxy says who the client is, in this very head.
            asked=(project, handler.details.get("service", ""), handler.details.get("operation", "")),
            trusted=handler.trusted,
            client=request.remote_ip or "" if handler.trusted and names_client(request.headers) else "",
        )

    def _template(self, handler: QgisHandler) -> str:
        """The line of the access log, but for what differs from time to time."""
        return self._context.access_log.form.template(visit_of(handler)._replace(seconds=0.0))

    def answer(self, head: bytes, client: str) -> bytes | None:
        """The answer to a request of this head; None when it has to be understood first."""
        known = self._known.get(head)
        if known is None:
            return None
        context = self._context
        if context.trusts(client) != known.trusted:
            # The same words mean something else from somebody else.
            return None
        kept = known.kept()
        if (
            kept is None
            or context.draining
            or context.upstream.current.stamp(known.project) != known.stamp
            or not kept.is_fresh
        ):
            del self._known[head]
            return None
        began = time.monotonic()
        context.store.at_hand(known.key)
        row = context.row
        row.requests += 1
        row.cache_hits += 1
        request_id = known.request_id or new_request_id().encode()
        now = time.time()  # the date, for the client and the log
        body = b""
        if known.with_body:
            body = kept.codings.get(known.coding, kept.body)
        who, id, trace = known.client or client, request_id.decode("latin-1"), ""
        if context.spans is not None and known.span is not None:
            trace = context.spans.hit(known.span, who, id, began)
        log = context.access_log
        if log.is_on:
            size = len(body) if known.with_body else None
            log.write_soon(log.form.fill(known.logged, who, now, size, id, trace))
        if context.count_hit is not None:
            context.count_hit(known.asked, 200 if known.with_body else 304, time.monotonic() - began)
        return b"".join(
            (known.head, self._dated(now), _TIMING, b"X-Request-Id: ", request_id, b"\r\n\r\n", body)
        )

    def _dated(self, now: float) -> bytes:
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = f"Date: {format_timestamp(second)}\r\n".encode()
        return self._date
