# SPDX-License-Identifier: GPL-2.0-or-later
"""How a project is loaded: each option of it, against real QGIS, in one instance with and one without."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.instance import Answer, Instance
from tests.integration.write_project import write

FAKE = 12.5
OTHERWISE = {
    "cache.trust_layer_metadata": "yes",
    "cache.disable_getprint": "yes",
    "cache.force_readonly_layers": "no",
    "cache.disable_owsurls": "yes",
    "cache.broken_ttl": "3600",
    "cache.check_interval": "0",
    "server.getfeaturelimit": "3",
    "server.workers": "1",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("loading")
    shutil.copy(shared_root / "world.gpkg", folder / "data.gpkg")
    # QGIS 3.40 asks formats that know their extent by heart (GeoPackage) all the same, but not this one.
    (folder / "marks.geojson").write_text('{"type": "Point", "coordinates": [1, 2]}')
    places = ["places", f"{folder / 'data.gpkg'}|layername=places", "ogr"]
    marks = ["marks", str(folder / "marks.geojson"), "ogr"]
    project = folder / "town.qgs"
    write({"uri": str(project), "title": "Town", "layers": [places, marks], "layouts": ["Sheet"]})
    # An extent that the data do not have, for those that trust it.
    text = re.sub(r"(<(wgs84)?extent>\s*<xmin>)[^<]*", rf"\g<1>{FAKE}", project.read_text())
    project.write_text(text)
    return folder


@contextmanager
def running(folder: Path, root: Path, options: dict[str, str]) -> Iterator[Instance]:
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    instance = Instance(folder / "i", "run", ("--rootdir", str(root), *words))
    with instance:
        yield instance


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Instance]:
    options = {"server.workers": "1", "cache.broken_ttl": "0", "cache.check_interval": "0"}
    with running(tmp_path_factory.mktemp("q"), root, options) as instance:
        yield instance


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("q"), root, OTHERWISE) as instance:
        yield instance


def capabilities(server: Instance, project: str = "town", service: str = "WMS") -> Answer:
    return server.ows(project, SERVICE=service, REQUEST="GetCapabilities")


def test_trust_layer_metadata(usual: Instance, other: Instance) -> None:
    extents = [
        re.findall(r"<westBoundLongitude>([^<]*)", capabilities(server).text) for server in (usual, other)
    ]
    assert [any(abs(float(x) - FAKE) < 1e-3 for x in found) for found in extents] == [False, True], extents


def test_disable_getprint(usual: Instance, other: Instance) -> None:
    asked = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetPrint", "TEMPLATE": "Sheet",
             "FORMAT": "png", "CRS": "EPSG:4326", "DPI": "30"}  # fmt: skip
    printed, refused = usual.ows("town", **asked), other.ows("town", **asked)
    assert (printed.status, printed.headers["Content-Type"]) == (200, "image/png"), printed.text[:500]
    assert (refused.status, "not supported" in refused.text) == (501, True), refused.text[:500]


def test_disable_owsurls(usual: Instance, other: Instance) -> None:
    for service in ("WMS", "WFS"):
        told = ["own.example" in capabilities(server, service=service).text for server in (usual, other)]
        assert told == [True, False], service


TRANSACTIONS = {
    "insert": "<wfs:Insert><places><geometry><gml:Point srsName='EPSG:4326'><gml:coordinates>1,1"
    "</gml:coordinates></gml:Point></geometry><name>New Place</name></places></wfs:Insert>",
    "update": "<wfs:Update typeName='places'><wfs:Property><wfs:Name>name</wfs:Name><wfs:Value>Renamed"
    "</wfs:Value></wfs:Property><ogc:Filter><ogc:FeatureId fid='places.1'/></ogc:Filter></wfs:Update>",
    "delete": "<wfs:Delete typeName='places'><ogc:Filter><ogc:FeatureId fid='places.2'/></ogc:Filter>"
    "</wfs:Delete>",
}


def transaction(server: Instance, operation: str) -> Answer:
    body = (
        "<wfs:Transaction service='WFS' version='1.0.0' xmlns:wfs='http://www.opengis.net/wfs' "
        "xmlns:ogc='http://www.opengis.net/ogc' xmlns:gml='http://www.opengis.net/gml'>"
        f"{TRANSACTIONS[operation]}</wfs:Transaction>"
    )
    return server.request("POST", "/ows/?MAP=town", body.encode(), {"Content-Type": "text/xml"})


def rows(root: Path) -> list[tuple[int, str]]:
    database = sqlite3.connect(f"file:{root / 'data.gpkg'}?mode=ro", uri=True)
    try:
        return database.execute("SELECT fid, name FROM places ORDER BY fid").fetchall()
    finally:
        database.close()


@pytest.mark.parametrize("operation", TRANSACTIONS)
def test_force_readonly_layers(usual: Instance, other: Instance, root: Path, operation: str) -> None:
    before = rows(root)
    refused = transaction(usual, operation)
    # Refused by the list of writable layers; from QGIS 3.28 on before that by a layer without capabilities.
    expected = [(403, "No permissions"), (400, "No capabilities to do WFS changes")]
    assert any(refused.status == status and why in refused.text for status, why in expected), refused.text
    assert rows(root) == before, refused.text
    operations = [capabilities(server, service="WFS").text for server in (usual, other)]
    assert [f"<Operation>{operation.title()}" in text for text in operations] == [False, True]
    allowed = transaction(other, operation)
    assert "SUCCESS" in allowed.text, allowed.text
    assert rows(root) != before


def test_force_readonly_layers_with_ogc_api(usual: Instance, other: Instance, root: Path) -> None:
    feature = b'{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}}'
    kind = {"Content-Type": "application/geo+json"}
    for server, added in ((usual, 0), (other, 1)):
        before = rows(root)
        answer = server.request("POST", "/wfs3/collections/places/items?MAP=town", feature, kind)
        assert len(rows(root)) == len(before) + added, answer.text


def count(answer: Answer) -> int:
    assert answer.status == 200, answer.text
    return answer.text.count("<gml:featureMember>")


FEATURES = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "places"}


def test_getfeaturelimit(usual: Instance, other: Instance, root: Path) -> None:
    total = len(rows(root))
    assert count(usual.ows("town", **FEATURES)) == total > 3
    assert count(other.ows("town", **FEATURES)) == 3
    assert count(other.ows("town", **FEATURES, MAXFEATURES="2")) == 2
    for wide in ("1000", "-5", ""):
        assert count(other.ows("town", **FEATURES, MaxFeatures=wide)) == 3
    document = (
        b"<wfs:GetFeature service='WFS' version='1.1.0' %s xmlns:wfs='http://www.opengis.net/wfs'>"
        b"<wfs:Query typeName='places'/></wfs:GetFeature>"
    )
    for limit, expected in ((b"", 3), (b"maxFeatures='1000'", 3), (b"maxFeatures='1'", 1)):
        kind = {"Content-Type": "text/xml"}
        assert count(other.request("POST", "/ows/?MAP=town", document % limit, kind)) == expected
    form = b"SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=places&MAXFEATURES=50"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert count(other.request("POST", "/ows/?MAP=town", form, kind)) == 3
    hits = other.ows("town", **FEATURES, RESULTTYPE="hits")
    assert f'numberOfFeatures="{total}"' in hits.text


def test_a_broken_project_is_not_tried_at_each_request(usual: Instance, other: Instance, root: Path) -> None:
    project = root / "poor.qgs"
    project.write_text((root / "town.qgs").read_text().replace("data.gpkg", "later.gpkg"))
    for server in (usual, other):
        answer = capabilities(server, "poor")
        assert (answer.status, "places: " in answer.text) == (422, True), answer.text
    shutil.copy(root / "data.gpkg", root / "later.gpkg")
    assert capabilities(usual, "poor").status == 200
    assert capabilities(other, "poor").status == 422
    # Another version is another project.
    project.write_text(project.read_text() + "\n")
    assert capabilities(other, "poor").status == 200
