# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths that QGIS answers: `/ows/` and `/wfs3/`."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Awaitable, Callable
from ssl import SSLSocket
from typing import TYPE_CHECKING

from tornado.iostream import StreamClosedError

from qgsd import messages, nesting
from qgsd.keeping import Kind, kind_of, kind_of_path
from qgsd.location import LocationError
from qgsd.proxy import demands, ows
from qgsd.proxy.http import apis, trace
from qgsd.proxy.http.addresses import Address, headers_for_qgis, public_address
from qgsd.proxy.http.answer import AnswerWriter
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.flight import flight, told_by
from qgsd.proxy.http.handlers import ServiceHandler, new_request_id, vary
from qgsd.proxy.http.kept import Shelf
from qgsd.proxy.http.repeated import RepeatedHeaders
from qgsd.proxy.http.responder import Answering
from qgsd.proxy.http.spool import Bounds
from qgsd.proxy.http.store import Kept
from qgsd.proxy.http.tiles import tile_of
from qgsd.proxy.http.upstream import Exchange, ExchangeClosed
from qgsd.proxy.http.whole import send_whole
from qgsd.tls import subject_of

if TYPE_CHECKING:
    from qgsd.proxy.http.context import HttpContext
    from qgsd.proxy.http.spans import RequestSpan

# Paths at which there is nothing: for how many seconds that is remembered, and of how many.
_ABSENT = 10.0
_MOST_ABSENT = 1000
_ENDS = (HttpError, StreamClosedError, ExchangeClosed)


class QgisHandler(ServiceHandler):
    """Hands the request to a worker and relays its answer as it comes."""

    exchange: Exchange | None = None
    span: RequestSpan | None = None
    # The path as the traces call it; empty where it is anything.
    route = ""

    def initialize(self, context: HttpContext) -> None:
        super().initialize(context)
        if self.context.spans is not None:
            self.context.spans.begin(self)

    def _serve(self) -> Answering:
        return self._attempt(self._begin)

    get = head = post = put = patch = delete = _serve

    def _attempt(self, step: Callable[[], Answering]) -> Answering:
        """A step of answering; what becomes of it when it does not come to a good end."""
        try:
            going_on = step()
        except _ENDS as end:
            self._end(end)
            return None
        return None if going_on is None else self._awaited(going_on)

    async def _awaited(self, going_on: Awaitable[None]) -> None:
        try:
            await going_on
        except _ENDS as end:
            self._end(end)

    def _end(self, end: Exception) -> None:
        if isinstance(end, HttpError):
            self.refuse(end)
        else:
            self._abandon()

    def _begin(self) -> Answering:
        request, body, kind = self._read_request()
        shelf = Shelf(self.context, request, kind)
        if shelf.seconds is not None:
            return self._look(request, body, shelf)
        self._ask(request, body, shelf)
        return None

    async def _look(self, request: messages.Request, body: bytes, shelf: Shelf) -> None:
        kept = await shelf.look()
        if kept is None:
            self._ask(request, body, shelf)
        else:
            await self._give(kept, shelf)

    def _ask(self, request: messages.Request, body: bytes, shelf: Shelf) -> None:
        """Have a worker answer; it goes on when the answer begins to come."""
        limits = self.settings.server
        bounds = Bounds(limits.spool_memory, limits.spool_file)
        self.exchange = self.context.upstream.submit(request, body, bounds)
        writer = AnswerWriter(self, self.exchange, shelf)
        self.exchange.await_part(self.postpone(functools.partial(self._attempt, writer.begin)))

    async def _give(self, kept: Kept, shelf: Shelf) -> None:
        """Answer from what is kept, without a worker."""
        self.details.update(cached=True)
        self.take_headers(kept.headers)
        self.set_header("Etag", kept.etag)
        self.set_timing(messages.Timing(), cache="hit")
        self.context.row.cache_hits += 1
        before = kept.size
        sending = send_whole(self, kept.body, tagged=True, encoded=kept.encoded)
        if sending is not None:
            await sending
        if kept.size != before:
            self.context.store.weigh(shelf.key, kept)
        if self.context.hot is not None:
            self.context.hot.remember(self, kept, shelf.key, self.details["project"], shelf.stamp)

    def take_headers(self, headers: messages.Headers) -> None:
        """These, in the place of those of the same name."""
        taken = set()
        for name, value in headers:
            known = name.lower()
            if known in taken:
                self.add_header(name, value)
            else:
                self.set_header(name, value)
                taken.add(known)
        self.vary_by_origin()

    def _read_request(self) -> tuple[messages.Request, bytes, Kind]:
        """The request for a worker, its body, and the kind of answer, where that may be kept."""
        body = self.take_body()
        method = self.request.method
        wanted = self._read(method, body)
        project, address = self._project(wanted), self._address()
        origin = nesting.origin_of(self.request.cookie(nesting.COOKIE), self.context.token)
        self.details.update(project=project, service=wanted.service, operation=wanted.operation)
        url, (headers, told) = address.url(self.request.uri), self._headers_for_qgis(address)
        debug = self._is_debugged()
        keepable = method in ("GET", "HEAD") and bool(project) and not (body or debug)
        shareable = self.settings.server.single_flight and wanted.idempotent and not (body or debug)
        request = messages.Request(
            id=self._inner_id(),
            project=project,
            # HTTP has the answer to HEAD be that to GET without its body; QGIS answers HEAD otherwise.
            method="GET" if method == "HEAD" else method,
            url=url,
            headers=[*headers, *self._own_headers()],
            service=wanted.service,
            operation=wanted.operation,
            idempotent=wanted.idempotent,
            timeout=self.settings.server.timeout,
            fingerprint=self._fingerprint(body, project),
            depth=origin.depth,
            parent=origin.parent,
            pixels=wanted.pixels,
            client=self.request.remote_ip or "",
            flight=flight(project, url, told) if shareable and method in ("GET", "HEAD") else "",
            debug=debug,
            tile=self._tile(wanted, project, url, told) if keepable and not origin.depth else None,
        )
        return request, body, self._kind(wanted) if keepable else ""

    def _tile(self, wanted: ows.OwsRequest, project: str, url: str, told: bytes) -> messages.Tile | None:
        """Its place among its neighbours, where the operator wants them to be rendered together."""
        most = self.context.tile_rules.most(project) if self.context.tile_rules else 0
        if most < 2 or not self.context.upstream.current.is_predictable:
            return None
        return tile_of(wanted, url.partition("?")[0], project, told, most, self.settings.requests)

    def _inner_id(self) -> str:
        id = self.request_id
        return messages.inner_id(new_request_id(), id) if self.names_itself else id

    def _kind(self, wanted: ows.OwsRequest) -> Kind:
        return kind_of(wanted.service, wanted.operation)

    def _project(self, wanted: ows.OwsRequest) -> str:
        named = self._map(wanted)
        try:
            key = self.context.project_key(named)
        except LocationError as error:
            raise HttpError(error.status, error.code, error.message) from error
        # By it a cache in front can find what it has of a project (py-qgis-server).
        self.set_header("X-Map-Id", named.encode().decode("latin-1"))
        return key

    def _map(self, wanted: ows.OwsRequest) -> str:
        """What names the project: MAP, else a header, else the configuration (py-qgis-server)."""
        if wanted.map:
            return wanted.map
        vary(self._headers, "X-Qgis-Project")
        told = self.request.headers.get("X-Qgis-Project", "")
        return told.encode("latin-1", "replace").decode(errors="replace") or self.default_map

    @property
    def default_map(self) -> str:
        """The project of requests that name none."""
        return self.context.default_map

    def _read(self, method: str, body: bytes) -> ows.OwsRequest:
        content_type = self.request.headers.get("Content-Type", "")
        try:
            wanted = ows.read(method, self.request.query, content_type, body)
            demands.check(wanted, body, self.settings.requests)
        except ows.MalformedRequest as malformed:
            raise HttpError(400, "malformed", str(malformed)) from malformed
        except demands.Refused as refused:
            raise HttpError(refused.status, refused.code, refused.message) from refused
        return wanted

    def _address(self) -> Address:
        request, server = self.request, self.settings.server
        return public_address(
            request.protocol,
            request.host,
            request.headers,
            trusted=self.trusted,
            proxy_url=server.proxy_url,
        )

    def _fingerprint(self, body: bytes, project: str) -> str:
        """The same for the same request, whoever sends it."""
        told = f"{self.request.method} {self.request.uri} {project}\n".encode() + body
        return hashlib.blake2b(told, digest_size=8).hexdigest()

    def _headers_for_qgis(self, address: Address) -> tuple[messages.Headers, bytes]:
        """Those that are passed on, but for what is this request's own, and what they say for `flight`."""
        given, allowed = self.request.headers, self.settings.server.allow_headers
        shown = self._certificate()

        def make() -> tuple[messages.Headers, bytes]:
            passed_on = headers_for_qgis(given, address, trusted=self.trusted, allowed=allowed)
            headers = [
                (name, nesting.without_mark(value) if name == "Cookie" else value)
                for name, value in passed_on
                if name != "X-Request-Id"
            ]
            headers += shown
            return trace.passed_on(headers, None), told_by(headers)

        if isinstance(given, RepeatedHeaders):
            return given.derived((address, self.trusted, allowed, shown), make)
        return make()

    def _own_headers(self) -> messages.Headers:
        """What QGIS gets to see of this request's own."""
        context = [] if self.trace is None else self.trace.headers()
        # An id that was none has been replaced, and the logs know this one.
        return [*context, ("X-Request-Id", self.request_id)]

    def _certificate(self) -> tuple[tuple[str, str], ...]:
        """Headers on whose certificate the connection has been opened with, where plugins want to know."""
        if self.trusted or not self.settings.server.ssl_client_subject:
            return ()
        connection = getattr(self.request.connection.stream, "socket", None)
        shown = connection.getpeercert() if isinstance(connection, SSLSocket) else None
        if not shown:
            return (("X-Ssl-Client-Verify", "NONE"),)
        return (("X-Ssl-Client-Verify", "SUCCESS"), ("X-Ssl-Client-S-Dn", subject_of(shown)))

    def _is_debugged(self) -> bool:
        allowed = self.settings.server.debug_request_id
        told = self.request.headers.get("X-Debug-Id") if allowed else ""
        return bool(told) and allowed in ("*", told)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._abandon()

    def _abandon(self) -> None:
        self.failure = self.failure or "client_gone"
        if not self._headers_written:
            # For the access log only; nginx's word for it.
            self.set_status(499, "Client Closed Request")
        if self.exchange is not None:
            self.context.upstream.cancel(self.exchange)


class OwsHandler(QgisHandler):
    """`/ows/`: WMS, WFS, WCS, WMTS."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")
    ogc_errors = True
    route = "/ows/"


class OgcApiHandler(QgisHandler):
    """`/wfs3/`: OGC API Features, by QGIS itself."""

    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    service = "WFS3"
    route = "/wfs3/"

    def _read(self, method: str, body: bytes) -> ows.OwsRequest:
        try:
            fields = ows.fields_of(self.request.query)
        except ows.MalformedRequest as malformed:
            raise HttpError(400, "malformed", str(malformed)) from malformed
        return ows.OwsRequest(fields.get("MAP", ""), self.service, method, method in ("GET", "HEAD"))

    def _kind(self, wanted: ows.OwsRequest) -> Kind:
        return kind_of_path(self.request.path)


class OtherPathHandler(OgcApiHandler):
    """Any other path: an OGC API may be there, with or without a project: a plugin's, or QGIS's landing page.

    Only workers know what plugins have. That there is nothing is remembered for a while, so that those who
    ask for it again and again (`/favicon.ico`) cost no worker.
    """

    service = messages.PLUGIN_API
    route = ""

    def _read_request(self) -> tuple[messages.Request, bytes, Kind]:
        until = self.context.absent.get(self.request.path, 0.0)
        closed = not apis.is_open(self.settings, self.request.path)
        if closed or time.monotonic() < until:
            self.take_body()
            raise HttpError(404, "not_found", f"there is nothing at {self.request.path}")
        return super()._read_request()

    def _kind(self, wanted: ows.OwsRequest) -> Kind:
        # Whatever it is, it is a plugin's.
        return ""

    def _project(self, wanted: ows.OwsRequest) -> str:
        return super()._project(wanted) if self._map(wanted) else ""

    @property
    def default_map(self) -> str:
        """None: what needs no project must not fail for one that does not load."""
        return ""

    def refuse(self, error: HttpError) -> None:
        if error.code == "not_found":
            absent = self.context.absent
            if len(absent) >= _MOST_ABSENT:
                absent.clear()
            if absent.get(self.request.path, 0.0) < time.monotonic():
                absent[self.request.path] = time.monotonic() + _ABSENT
        super().refuse(error)
