# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages for people: `/` lists the projects, `/map/` shows one.

Everything the pages load comes from here, and all their links are relative, so that they
work behind a proxy that serves qgsd below a path of its own.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tornado.routing import URLSpec
from tornado.web import StaticFileHandler
from tornado.web import url as route

from qgsd.config import public
from qgsd.location import LocationError
from qgsd.proxy import ows
from qgsd.proxy.catalog import CatalogEntry
from qgsd.proxy.http import errors
from qgsd.proxy.http.context import HttpContext
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.handlers import ServiceHandler, vary

_HERE = Path(__file__).parent
_LINK = re.compile(r"https?://|mailto:")
_SERVICES = ("WMS", "WFS", "WCS", "WMTS")
_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


class PageHandler(ServiceHandler):
    """A page of our own, which loads nothing from another host.

    Errors are JSON as everywhere, but a page for those who ask for HTML by name: browsers.
    """

    def get_template_path(self) -> str:
        return str(_HERE / "templates")

    def show(self, template: str, **values: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self._protect()
        self.finish(self.render_string(template, **values))

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
        self.set_status(error.status, HTTPStatus(error.status).phrase)
        if "text/html" in self.request.headers.get("Accept", ""):
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
        entries = await asyncio.to_thread(self.context.catalog.projects)
        if prefers_json(self.request.headers.get("Accept", "")):
            self._protect()
            about = _about(self.settings_now.metadata)
            servers = [{"url": f"{self.request.protocol}://{self.request.host}"}]
            listed = [_as_json(entry) for entry in entries]
            self.finish({**about, "servers": servers, "paths": {}, "projects": listed})
        else:
            metadata = self.settings_now.metadata
            notes = _notes(metadata)
            self.show(
                "landing.html", entries=entries, quote=quote, services=_SERVICES, about=metadata, notes=notes
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
            self.redirect(f"map/?{self.request.query}", permanent=True)
            return
        try:
            wanted = ows.fields_of(self.request.query).get("MAP", "")
            location = self.context.rules.locate(wanted)
            # Other stores are known to workers only.
            if not self.trust_unknown and location.scheme == "file":
                await asyncio.to_thread(self.context.catalog.find, location)
        except ows.MalformedRequest as malformed:
            self.refuse(HttpError(400, "malformed", str(malformed)))
        except LocationError as error:
            self.refuse(HttpError(error.status, error.code, error.message))
        else:
            self.show("map.html", map=wanted, name=location.path or location.project)

    head = get


class AssetHandler(ServiceHandler, StaticFileHandler):
    """Scripts, styles and pictures of the pages."""

    compute_etag = StaticFileHandler.compute_etag  # type: ignore[assignment]

    def initialize(self, context: HttpContext, path: str) -> None:  # type: ignore[override]
        ServiceHandler.initialize(self, context)
        StaticFileHandler.initialize(self, path)

    def set_extra_headers(self, path: str) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        # Ask each time whether it changed: after an upgrade no old script meets a new page.
        self.set_header("Cache-Control", "no-cache")


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


def _as_json(entry: CatalogEntry) -> dict[str, Any]:
    name = quote(entry.map)
    links = {s.lower(): f"/ows/?MAP={name}&SERVICE={s}&REQUEST=GetCapabilities" for s in _SERVICES}
    links |= {"map": f"/map/?MAP={name}", "ogcapi": f"/wfs3/?MAP={name}"}
    return {"map": entry.map, "title": entry.title, "abstract": entry.abstract, "links": links}


def _about(metadata: public.MetadataSettings) -> dict[str, Any]:
    """What [metadata] says, under the names of py-qgis-server; what it does not say is left out."""
    contact = {
        "name": metadata.contact_name, "address": metadata.contact_address,
        "email": metadata.contact_email, "url": metadata.contact_url,
    }  # fmt: skip
    info = {
        "title": metadata.title,
        "description": metadata.description,
        "termsOfService": metadata.terms_of_service,
        "contact": _said(contact),
        "licence": _said({"name": metadata.licence_name, "url": metadata.licence_url}),
    }
    documents = {"description": metadata.external_doc_description, "url": metadata.external_doc_url}
    return _said({"info": _said(info), "externalDocs": _said(documents)})


def _notes(metadata: public.MetadataSettings) -> list[tuple[str, str]]:
    """What [metadata] says below the page: texts, each with an address for a link or none."""
    mail = metadata.contact_email
    told = (
        (metadata.contact_name, metadata.contact_url),
        (metadata.contact_address, ""),
        (mail, f"mailto:{quote(mail, safe='@+')}"),
        (metadata.licence_name or metadata.licence_url, metadata.licence_url),
        ("Terms of service" if metadata.terms_of_service else "", metadata.terms_of_service),
        (metadata.external_doc_description or metadata.external_doc_url, metadata.external_doc_url),
    )
    # Whatever is no address, such as `javascript:`, is left as text.
    return [(text, link if _LINK.match(link) else "") for text, link in told if text]


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def landing_routes(context: HttpContext, trust_unknown: bool | None = None) -> list[URLSpec]:
    """The paths of this file.

    :param trust_unknown: show a map page also for projects that the catalog does not have. When
        not given, that is so for a proxy, whose projects lie on the machines of its workers.
    """
    if trust_unknown is None:
        trust_unknown = context.settings.server.proxy
    shared: dict[str, Any] = {"context": context}
    return [
        route(r"/", LandingHandler, shared),
        route(r"/map/?", MapHandler, shared | {"trust_unknown": trust_unknown}),
        route(r"/static/(.*)", AssetHandler, shared | {"path": str(_HERE / "static")}),
    ]
