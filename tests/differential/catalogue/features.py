# SPDX-License-Identifier: GPL-2.0-or-later
"""OGC API Features as QGIS has it under /wfs3, reading, with its pages and static files."""

from __future__ import annotations

from tests.differential.ask import Ask


def api(path: str, *, accept: str = "", project: str = "survey.qgs", method: str = "GET") -> Ask:
    """`path` may have a query of its own; MAP goes in front of it."""
    place, _, fields = path.partition("?")
    target = f"/wfs3{place}?MAP={project}" + (f"&{fields}" if fields else "")
    headers = {"Accept": accept} if accept else {}
    return Ask(target, method, headers, note=accept)


_HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
_CRS_84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_CRS_3857 = "http://www.opengis.net/def/crs/EPSG/9.6.2/3857"
_PAGES = [
    "", "/", "/conformance", "/api", "/collections", "/collections/points", "/collections/points/items",
    "/collections/areas/items/1", "/collections/Straßen & Wege", "/collections/no_such_layer",
]  # fmt: skip
_ENDINGS = [
    ".json", ".html", "/conformance.json", "/conformance.html", "/api.openapi3", "/api.html",
    "/collections.json", "/collections.html", "/collections/areas.json", "/collections/areas.html",
    "/collections/areas/items.json", "/collections/areas/items.geojson", "/collections/areas/items.html",
    "/collections/areas/items/1.json", "/collections/areas/items/1.html", "/collections.nonsense",
]  # fmt: skip
_ITEMS = [
    "limit=2", "limit=2&offset=3", "limit=0", "limit=-1", "limit=many", "limit=100000", "offset=1000",
    "bbox=0,0,4,4", f"bbox=0,0,400000,400000&bbox-crs={_CRS_3857}", "bbox=nonsense", f"crs={_CRS_3857}",
    f"crs={_CRS_84}", "crs=nonsense", "name=Ort%201%20%E2%80%93%20%C3%A9%E6%BC%A2", "name=Ort*",
    "count=5000000000",
    "datetime=2024-02-03", "datetime=2024-02-03/2024-02-10", "datetime=nonsense",
    "sortby=name",
    "sortby=name&sortdesc=1", "sortby=nonsense", "properties=name,count", "properties=nonsense",
    "resulttype=hits", "no_such_field=1",
]  # fmt: skip
_FILES = [
    "/static/jsonFormatter.min.js", "/static/jsonFormatter.min.css", "/static/style.css",
    "/static/nothing.js", "/static/../schema.json", "/static/",
]  # fmt: skip
_WRONG = [
    "/nonsense", "/collections/areas/nonsense", "/collections/areas/items/9999",
    "/collections/areas/items/nonsense", "/collections/notes/items", "/collections/relief/items",
]  # fmt: skip


def _quoted(path: str) -> str:
    return path.replace("ß", "%C3%9F").replace(" & ", "%20%26%20")


ASKS: list[Ask] = [
    *[api(_quoted(path), accept=accept) for path in _PAGES for accept in ("", _HTML, "application/json")],
    *[api(path) for path in _ENDINGS],
    *[api(f"/collections/points/items?{fields}") for fields in _ITEMS],
    api("/collections/points/items.html?limit=3&offset=3"),
    api("/collections/points/items", accept="text/nonsense"),
    api("/collections/points/items", accept="application/geo+json"),
    *[api(path) for path in _FILES],
    *[api(path) for path in _WRONG],
    *[api(path, project="world.qgs") for path in ("/collections", "/collections/countries/items?limit=5")],
    api("/collections/areas/items/1", method="HEAD"),
    api("/collections", method="HEAD"),
    api("/collections/hollow/items", project="hollow.qgs").but(crashes=True),
    api("/collections/areas", method="DELETE"),
    api("/conformance", method="POST"),
]
