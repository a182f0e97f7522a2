# SPDX-License-Identifier: GPL-2.0-or-later
"""What the landing page says: the projects of a page, their addresses, who runs the service. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from qgsd.config import public
from qgsd.proxy.catalog import CatalogEntry

# So a page has a bounded size, however many projects there are.
PAGE = 24
# Of a project's layers a page names so many; JSON has all.
LAYERS = 40
_LINK = re.compile(r"https?://|mailto:")


@dataclass(frozen=True)
class Listing:
    """One page of the list. `found` of `total` projects fit the search; pages count from 1."""

    entries: Sequence[CatalogEntry]
    search: str
    found: int
    total: int
    page: int
    pages: int

    def address(self, page: int) -> str:
        """That of another page of the same search, relative."""
        asked = ({"q": self.search} if self.search else {}) | ({"page": page} if page > 1 else {})
        return f"?{urlencode(asked)}" if asked else "./"


def listing(entries: Sequence[CatalogEntry], search: str = "", page: int = 1) -> Listing:
    """The projects that have all words of the search in their name, texts or layers.

    A page that does not exist is the nearest one that does.
    """
    words = search.casefold().split()
    found = [entry for entry in entries if not words or _has_all(entry, words)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    return Listing(shown, search, len(found), len(entries), page, pages)


def _has_all(entry: CatalogEntry, words: list[str]) -> bool:
    texts = (entry.map, entry.title, entry.about.abstract, *entry.about.layers)
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)


def service_links(entry: CatalogEntry) -> dict[str, str]:
    """The addresses of its services, relative to the page."""
    name = quote(entry.map)
    return {
        service: f"wfs3/?MAP={name}"
        if service == "OGC API"
        else f"ows/?MAP={name}&SERVICE={service}&REQUEST=GetCapabilities"
        for service in entry.about.services
    }


def as_json(entry: CatalogEntry) -> dict[str, Any]:
    """A project for programs."""
    links = {_key(service): f"/{link}" for service, link in service_links(entry).items()}
    return {
        "map": entry.map,
        "title": entry.title,
        "abstract": entry.about.abstract,
        "extent": entry.about.box,
        "layers": entry.about.layers,
        "links": links | {"map": f"/map/?MAP={quote(entry.map)}"},
    }


def _key(service: str) -> str:
    return service.lower().replace(" ", "")


def about(metadata: public.MetadataSettings) -> dict[str, Any]:
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


def notes(metadata: public.MetadataSettings) -> list[tuple[str, str]]:
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
