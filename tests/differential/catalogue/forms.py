# SPDX-License-Identifier: GPL-2.0-or-later
"""The same said in other ways: HEAD, forms, spellings of the query, headers, large bodies."""

from __future__ import annotations

from tests.differential.ask import FORM, Ask, form, ows, post
from tests.differential.catalogue.coverages import COVERAGE, TILE
from tests.differential.catalogue.wfs import GET_100, GET_110, V110
from tests.differential.catalogue.wms import INFO, LEGEND, MAP_130, PRINT, V130

_CAPABILITIES = ows(V130, REQUEST="GetCapabilities")
_BASIC = [
    _CAPABILITIES, ows(MAP_130), ows(INFO), ows(LEGEND), ows(PRINT), ows(GET_100), ows(GET_110),
    ows(COVERAGE), ows(TILE), ows(V130, REQUEST="GetNothing"),
]  # fmt: skip

_MAP = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=areas&CRS=EPSG:4326&BBOX=0,0,10,10&WIDTH=60&HEIGHT=50"
_SPELLINGS = [
    f"map=survey.qgs&{_MAP.lower().replace('epsg', 'EPSG')}&format=image/png",
    f"MaP=survey.qgs&{_MAP}&FoRmAt=image/png",
    f"{_MAP}&FORMAT=image/png&MAP=survey.qgs",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image%2Fpng&STYLES",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image%2Fpng%3B+mode%3D8bit",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png;mode=8bit",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png;%20mode=8bit",
    f"MAP=survey.qgs&{_MAP.replace('&', ';')};FORMAT=image/png",
    f"MAP=survey.qgs&&{_MAP}&&FORMAT=image/png&",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png&FORMAT=image/jpeg",
    f"MAP=survey.qgs&MAP=world.qgs&{_MAP}&FORMAT=image/png",
    f"MAP=world.qgs&MAP=survey.qgs&{_MAP}&FORMAT=image/png",
    f"MAP=plan+1%2B%C3%A9.qgs&{_MAP}&FORMAT=image/png",
    f"MAP=plan%201%2B%C3%A9.qgs&{_MAP}&FORMAT=image/png",
    "MAP=plan%201%2B%C3%A9.qgs&SERVICE=WMS&REQUEST=GetCapabilities",
    "MAP=plan+1%2B%C3%A9.qgs&SERVICE=WFS&REQUEST=GetCapabilities",
    f"MAP=survey.qgs&{_MAP}&LAYERS=points&FORMAT=image/png",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png&=&=x&x",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png&X=%00&Y=%zz&Z=%",
    f"MAP=survey.qgs&{_MAP.replace('areas', 'Stra%C3%9Fen%20%26%20Wege')}&FORMAT=image/png",
    f"MAP=survey.qgs&{_MAP.replace('areas', 'Stra%C3%9Fen+%26+Wege')}&FORMAT=image/png",
    f"MAP=survey.qgs&{_MAP.replace('areas', 'Stra%DFen')}&FORMAT=image/png",
    "MAP=survey.qgs&SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=points&EXP_FILTER=name+%3D+'Ort+1'",
    "MAP=survey.qgs&SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=points&EXP_FILTER=%22count%22%2B1%3E5",
    "MAP=survey.qgs&SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=points&EXP_FILTER=%22count%22+1%3E5",
    "MAP=survey.qgs&SERVICE=WMS&REQUEST=GetCapabilities&FILE_NAME=plan.xml",
    "MAP=survey.qgs&SERVICE=NONSENSE&REQUEST=GetCapabilities",
    "MAP=survey.qgs&SERVICE=&REQUEST=GetCapabilities",
    "MAP=survey.qgs&REQUEST=GetCapabilities",
    "MAP=survey.qgs",
    f"MAP=survey.qgs&{_MAP}&FORMAT=image/png&X=" + "x" * 20000,
    f"MAP=survey%2Eqgs&{_MAP}&FORMAT=image/png",
]  # fmt: skip

_WHERE = [
    {"X-Forwarded-Host": "maps.example"},
    {"X-Forwarded-Host": "maps.example", "X-Forwarded-Proto": "https"},
    {"X-Forwarded-Host": "maps.example:8443", "X-Forwarded-Proto": "https"},
    {"Forwarded": "host=maps.example;proto=https"},
    {"Forwarded": "for=192.0.2.1;host=maps.example;proto=https, for=198.51.100.2"},
    {"X-Qgis-Service-Url": "https://maps.example/service"},
    {
        "X-Qgis-Wms-Service-Url": "https://maps.example/wms",
        "X-Qgis-Wfs-Service-Url": "https://maps.example/wfs",
    },
    {"Host": "other.example"},
    {"Host": "other.example:99"},
    {"X-QGIS-service-URL": "https://maps.example/spelled"},
]

_FILLING = "<!-- " + "x" * 50_000 + " -->\n"
_FEATURES = (
    '<wfs:GetFeature service="WFS" version="1.1.0" xmlns:wfs="http://www.opengis.net/wfs">{}</wfs:GetFeature>'
)
_QUERY = '<wfs:Query typeName="areas"/>'
_LARGE = [
    post(_FEATURES.format(_FILLING * 60 + _QUERY), note="3 MB XML"),
    form(ows(MAP_130, X="x" * 3_000_000), note="3 MB form"),
    form(
        ows(GET_110, EXP_FILTER='"count" in (' + ",".join(map(str, range(60_000))) + ")"), note="long filter"
    ),
]

ASKS: list[Ask] = [
    *[ask.but(method="HEAD") for ask in _BASIC],
    *[form(ask) for ask in _BASIC],
    form(ows(MAP_130), note="charset").but(headers={"Content-Type": FORM + "; charset=UTF-8"}),
    form(ows(MAP_130), note="no type").but(headers={}),
    form(ows(MAP_130), note="wrong type").but(headers={"Content-Type": "text/plain"}),
    form(ows(MAP_130, LAYERS="Straßen & Wege"), note="form, beyond ASCII"),
    form(ows(MAP_130), note="form over query").but(target="/ows/?MAP=survey.qgs&LAYERS=points&WIDTH=10"),
    form(ows(MAP_130), note="MAP in the form", keep_map=False),
    form(ows(MAP_130), note="MAP in the form, no type", keep_map=False).but(headers={}),
    form(ows(GET_110), note="MAP in the form, wrong type", keep_map=False).but(
        headers={"Content-Type": "text/xml"}
    ),
    form(_CAPABILITIES, note="MAP in the form", keep_map=False),
    form(ows(MAP_130), note="other MAP").but(
        target="/ows/?MAP=world.qgs", body=f"MAP=survey.qgs&{_MAP}&FORMAT=png".encode()
    ),
    post("", target=_CAPABILITIES.target, note="POST, all in the query"),
    *[Ask(f"/ows/?{spelling}") for spelling in _SPELLINGS],
    Ask(f"/ows?MAP=survey.qgs&{_MAP}&FORMAT=image/png"),
    *[
        ask.but(headers=headers, note=" ".join(f"{k}={v}" for k, v in headers.items()))
        for headers in _WHERE
        for ask in (_CAPABILITIES, ows(V110, REQUEST="GetCapabilities"))
    ],
    # QGIS heeds forwarded addresses only in OWS; for /wfs3 see tests/integration/test_addresses.py.
    *[
        Ask("/wfs3/collections?MAP=survey.qgs", headers=headers, note=f"Host={headers['Host']}")
        for headers in _WHERE
        if "Host" in headers
    ],
    *_LARGE,
]
