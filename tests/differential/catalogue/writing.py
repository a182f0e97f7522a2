# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes data, each change followed by a look at it: WFS Transaction, and OGC API Features."""

from __future__ import annotations

import json

from tests.differential.ask import Ask, ows, post
from tests.differential.catalogue.wfs import GET_110

_SPACES = (
    'xmlns:wfs="http://www.opengis.net/wfs" xmlns:ogc="http://www.opengis.net/ogc"'
    ' xmlns:gml="http://www.opengis.net/gml" xmlns:qgs="http://www.qgis.org/gml"'
)


def _transaction(version: str, inside: str) -> Ask:
    return post(f'<wfs:Transaction service="WFS" version="{version}" {_SPACES}>{inside}</wfs:Transaction>')


def _insert(name: str, layer: str = "points", position: str = "<gml:pos>3 4</gml:pos>") -> str:
    return (
        f"<wfs:Insert><qgs:{layer}><qgs:name>{name}</qgs:name><qgs:count>7</qgs:count><qgs:geometry>"
        f'<gml:Point srsName="EPSG:4326">{position}</gml:Point></qgs:geometry></qgs:{layer}></wfs:Insert>'
    )


def _update(name: str, value: str, fid: str, layer: str = "points") -> str:
    return (
        f'<wfs:Update typeName="{layer}"><wfs:Property><wfs:Name>{name}</wfs:Name>'
        f"<wfs:Value>{value}</wfs:Value></wfs:Property>"
        f'<ogc:Filter><ogc:FeatureId fid="{fid}"/></ogc:Filter></wfs:Update>'
    )


def _delete(fid: str, layer: str = "points") -> str:
    filter_ = f'<ogc:Filter><ogc:FeatureId fid="{fid}"/></ogc:Filter>'
    return f'<wfs:Delete typeName="{layer}">{filter_}</wfs:Delete>'


_OLD = "<gml:coordinates>5,6</gml:coordinates>"
_CHANGES = [
    _transaction("1.0.0", _insert("eins – ä", position=_OLD)),
    _transaction("1.1.0", _insert("zwei &amp; 漢")),
    _transaction("1.1.0", _insert("drei") + _insert("vier")),
    _transaction("1.0.0", _update("name", "geändert", "points.2")),
    _transaction("1.1.0", _update("größe", "99.5", "points.3")),
    _transaction("1.1.0", _update("day", "2025-01-31", "points.4")),
    _transaction("1.1.0", _update("no_such_field", "1", "points.3")),
    _transaction("1.1.0", _update("name", "x", "points.9999")),
    _transaction("1.0.0", _delete("points.5")),
    _transaction("1.1.0", _delete("points.6") + _update("name", "with a deletion", "points.7")),
    _transaction("1.1.0", _delete("points.9999")),
    _transaction("1.1.0", _insert("not allowed", layer="areas")),
    _transaction("1.1.0", _update("name", "not allowed", "areas.1", layer="areas")),
    _transaction("1.1.0", _delete("areas.1", layer="areas")),
    _transaction("1.1.0", _delete("x.1", layer="no_such_layer")),
    _transaction("1.1.0", "<wfs:Nonsense/>"),
    _transaction("1.1.0", ""),
    post("<wfs:Transaction", note="cut off"),
]


def _feature(**properties: object) -> bytes:
    point = {"type": "Point", "coordinates": [2.5, 3.5]}
    return json.dumps({"type": "Feature", "geometry": point, "properties": properties}).encode()


def _api(method: str, path: str, body: bytes = b"") -> Ask:
    return Ask(
        f"/wfs3/collections{path}?MAP=survey.qgs", method, {"Content-Type": "application/json"}, body, "write"
    )


_API = [
    _api("POST", "/points/items", _feature(name="über die API", count=3)),
    _api("POST", "/points/items", b"this is no JSON"),
    _api("POST", "/areas/items", _feature(name="not allowed")),
    _api("PUT", "/points/items/8", _feature(name="ersetzt", count=4)),
    _api("PATCH", "/points/items/9", b'{"modify": {"name": "geflickt"}}'),
    _api("PATCH", "/points/items/9", b'{"nonsense": 1}'),
    _api("PUT", "/points/items/9999", _feature(name="nobody")),
    _api("DELETE", "/points/items/10"),
    _api("DELETE", "/points/items/9999"),
    _api("DELETE", "/areas/items/1"),
]

ASKS: list[Ask] = []
for _number, _change in enumerate([*_CHANGES, *_API]):
    ASKS += [
        _change.but(note=f"change {_number}"),
        ows(GET_110, OUTPUTFORMAT="GeoJSON", note=f"after change {_number}"),
    ]
