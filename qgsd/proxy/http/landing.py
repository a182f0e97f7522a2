# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages for people: `/` lists the projects, `/map/` shows one. Everything they load is served here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tornado.web import StaticFileHandler
from tornado.web import url as route

from qgsd.location import LocationError, parse_map
from qgsd.proxy import ows
from qgsd.proxy.catalog import CatalogEntry
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import ServiceHandler

_HERE = Path(__file__).parent
_SERVICES = ("WMS", "WFS", "WCS", "WMTS")
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"


class PageHandler(ServiceHandler):
    """A page of our own: it loads nothing from elsewhere and is framed by nobody's type guessing."""

    def get_template_path(self) -> str:
        return str(_HERE / "templates")

    def show(self, template: str, **values: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(self.render_string(template, **values))


class LandingHandler(PageHandler):
    """The served projects, as a page or as JSON."""

    async def get(self) -> None:
        self.take_body()
        # Reading files: not in the loop that also streams maps.
        entries = await asyncio.to_thread(self.context.catalog.projects)
        self.set_header("Vary", "Accept")
        if _prefers_json(self.request.headers.get("Accept", "")):
            self.finish({"projects": [_as_json(entry) for entry in entries]})
        else:
            self.show("landing.html", entries=entries, quote=quote, services=_SERVICES)

    head = get


class MapHandler(PageHandler):
    """A live map of one project."""

    def get(self) -> None:
        self.take_body()
        try:
            wanted = ows.fields_of(self.request.query).get("MAP", "")
            location = parse_map(wanted)
        except ows.MalformedRequest as malformed:
            self.refuse(HttpError(400, "malformed", str(malformed)))
        except LocationError as error:
            self.refuse(HttpError(error.status, error.code, error.message))
        else:
            self.show("map.html", map=wanted, name=location.path)

    head = get


class AssetHandler(ServiceHandler, StaticFileHandler):
    """Scripts, styles and pictures of the pages."""

    compute_etag = StaticFileHandler.compute_etag  # type: ignore[assignment]

    def initialize(self, context: HttpContext, path: str) -> None:  # type: ignore[override]
        ServiceHandler.initialize(self, context)
        StaticFileHandler.initialize(self, path)


def _prefers_json(accept: str) -> bool:
    """JSON is named, and HTML is not named before it."""
    kinds = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    first = next((kind for kind in kinds if kind in ("application/json", "text/html")), "")
    return first == "application/json"


def _as_json(entry: CatalogEntry) -> dict[str, Any]:
    name = quote(entry.map)
    links = {s.lower(): f"/ows/?MAP={name}&SERVICE={s}&REQUEST=GetCapabilities" for s in _SERVICES}
    links |= {"map": f"/map/?MAP={name}", "ogcapi": f"/wfs3/?MAP={name}"}
    return {"map": entry.map, "title": entry.title, "abstract": entry.abstract, "links": links}


def landing_routes(context: HttpContext) -> list[Any]:
    """The paths of this file."""
    shared: dict[str, Any] = {"context": context}
    return [
        route(r"/", LandingHandler, shared),
        route(r"/map/?", MapHandler, shared),
        route(r"/static/(.*)", AssetHandler, shared | {"path": str(_HERE / "static")}),
    ]
