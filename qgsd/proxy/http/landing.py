# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages for people: `/` lists the projects, `/map/` shows one.

Everything the pages load comes from here, and all their links are relative, so that they
work behind a proxy that serves qgsd below a path of its own.
"""

from __future__ import annotations

import asyncio
import functools
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tornado.template import Loader

from qgsd.keeping import fits
from qgsd.location import Location, LocationError, no_project
from qgsd.proxy import ows, project_text
from qgsd.proxy.catalog import CatalogEntry
from qgsd.proxy.http import errors, listing
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import ServiceHandler, vary
from qgsd.proxy.http.responder import Answering, Route
from qgsd.proxy.http.whole import send_whole

# So many projects are seen at a glance.
_SEARCHABLE = 6
_HERE = Path(__file__).parent
_templates = Loader(str(_HERE / "templates"))
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


class LandingPartHandler(ServiceHandler):
    """What is not there when [landing] is turned off."""

    def _check(self, length: str | None, *, chunked: bool) -> None:
        super()._check(length, chunked=chunked)
        if not self.settings.landing.enabled:
            raise HttpError(404, "not_found", f"there is nothing at {self.request.path}")


class PageHandler(LandingPartHandler):
    """A page of our own, which loads nothing from another host.

    Errors are JSON as everywhere, but a page for those who ask for HTML by name: browsers.
    """

    def show(self, template: str, **values: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self._protect()
        self.finish(_templates.load(template).generate(**values))

    def _protect(self) -> None:
        vary(self._headers, "Accept")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "SAMEORIGIN")
        self.set_header("Referrer-Policy", "same-origin")

    def refuse(self, error: HttpError) -> None:
        if self._finished:
            return
        self._protect()
        if self._headers_written or self.request.method not in ("GET", "HEAD"):
            super().refuse(error)
            return
        self._stop_clock()
        self.failure = error.code
        self.set_status(error.status)
        if self.settings.landing.enabled and "text/html" in self.request.headers.get("Accept", ""):
            home = "../" if self.request.path.endswith("/map/") else "./"
            self.show("problem.html", message=error.message, home=home, request_id=self.request_id)
            return
        content_type, body = errors.as_json(error.code, error.message, self.request_id)
        self.set_header("Content-Type", content_type)
        # The address is quoted in it: no tag in an answer that a browser might take for a page.
        self.finish(body.replace(b"<", b"\\u003c"))


class LandingHandler(PageHandler):
    """The served projects, as a page or as JSON."""

    async def get(self) -> None:
        self.take_body()
        # Reading files: not in the loop that also streams maps.
        entries = await asyncio.to_thread(self.context.catalog.projects, self.settings.landing.hide)
        if prefers_json(self.request.headers.get("Accept", "")):
            self._protect()
            servers = [{"url": f"{self.request.protocol}://{self.request.host}"}]
            listed = [listing.as_json(entry) for entry in entries]
            about = listing.about(self.settings.metadata)
            self.finish({**about, "servers": servers, "paths": {}, "projects": listed})
        else:
            try:
                self._show_list(entries, ows.fields_of(self.request.query))
            except ows.MalformedRequest as malformed:
                self.refuse(HttpError(400, "malformed", str(malformed)))

    def _show_list(self, entries: list[CatalogEntry], asked: dict[str, str]) -> None:
        page = asked.get("PAGE", "1")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 9 else 1
        metadata = self.settings.metadata
        self.show(
            "landing.html",
            shown=listing.listing(entries, asked.get("Q", "").strip()[:200], number),
            about=metadata,
            notes=listing.notes(metadata),
            links=listing.service_links,
            layers=listing.LAYERS,
            extent=project_text.in_words,
            quote=quote,
            searchable=len(entries) > _SEARCHABLE,
        )

    head = get


class MapHandler(PageHandler):
    """A live map of one project. With `trust_unknown` a project may exist that the catalog does not see."""

    def initialize(self, context: HttpContext, trust_unknown: bool = False) -> None:
        super().initialize(context)
        self.trust_unknown = trust_unknown

    async def get(self) -> None:
        self.take_body()
        if not self.request.path.endswith("/"):
            self.redirect(f"map/?{self.request.query}")
            return
        try:
            wanted = ows.fields_of(self.request.query).get("MAP", "")
            location = self.context.rules.locate(wanted)
            await self._find(location)
        except ows.MalformedRequest as malformed:
            self.refuse(HttpError(400, "malformed", str(malformed)))
        except LocationError as error:
            self.refuse(HttpError(error.status, error.code, error.message))
        else:
            self.show("map.html", map=wanted, name=location.path or location.project)

    async def _find(self, location: Location) -> None:
        """Raises `LocationError` where there is no project with a page."""
        if any(fits(pattern, location.key) for pattern in self.settings.landing.hide):
            raise no_project(location.key)
        # Other stores are known to workers only.
        if location.scheme == "file":
            await asyncio.to_thread(self._check_file, location)

    def _check_file(self, location: Location) -> None:
        catalog = self.context.catalog
        try:
            path = catalog.find(location)
        except LocationError:
            if self.trust_unknown:
                return
            raise
        if not catalog.about(path).listed:
            raise no_project(location.key)

    head = get


class AssetHandler(LandingPartHandler):
    """Scripts, styles and pictures of the pages."""

    def get(self) -> Answering:
        self.take_body()
        kind, body = _assets().get(unquote(self.request.path.removeprefix("/static/")), ("", b""))
        if not kind:
            self.refuse(HttpError(404, "not_found", f"there is nothing at {self.request.path}"))
            return None
        self.set_header("Content-Type", kind)
        self.set_header("X-Content-Type-Options", "nosniff")
        # Ask each time whether it changed: after an upgrade no old script meets a new page.
        self.set_header("Cache-Control", "no-cache")
        return send_whole(self, body, tagged=True)

    head = get


@functools.cache
def _assets() -> dict[str, tuple[str, bytes]]:
    """Type and content of each file by its path below `static/`. They are few and small."""
    folder = _HERE / "static"
    return {
        path.relative_to(folder).as_posix(): (
            mimetypes.guess_type(path)[0] or "application/octet-stream",
            path.read_bytes(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def prefers_json(accept: str) -> bool:
    """Whether the client would rather have JSON than a page.

    >>> prefers_json("application/json"), prefers_json("text/html,application/xhtml+xml,*/*;q=0.8")
    (True, False)
    >>> prefers_json("text/html;q=0.5, application/json;q=0.9"), prefers_json("*/*")
    (True, False)
    """
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights.setdefault(kind, float(weight))
        except ValueError:
            continue
    known = [kind for kind in weights if kind in ("application/json", "text/html") and weights[kind] > 0]
    # max() takes the first of equals: what was named first.
    return max(known, key=weights.__getitem__, default="") == "application/json"


def landing_routes(context: HttpContext, trust_unknown: bool | None = None) -> list[Route]:
    """The paths of this file.

    :param trust_unknown: show a map page also for projects that the catalog does not have. When
        not given, that is so for a proxy, whose projects lie on the machines of its workers.
    """
    if trust_unknown is None:
        trust_unknown = context.settings.server.proxy
    shared: dict[str, Any] = {"context": context}
    return [
        (r"/", LandingHandler, shared),
        (r"/map/?", MapHandler, shared | {"trust_unknown": trust_unknown}),
        (r"/static/(.*)", AssetHandler, shared),
    ]
