# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients get: QGIS's answers, and qgsd's own errors, over real connections."""

from __future__ import annotations

import pytest

from qgsd.proxy.http.qgis import OwsHandler
from tests.integration.instance import GET_MAP, Instance, ows_path

PNG = b"\x89PNG\r\n"


def test_get_map_is_a_picture(server: Instance) -> None:
    answer = server.ows(**GET_MAP)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.body.startswith(PNG)


@pytest.mark.parametrize("service", ["WMS", "WFS", "WCS", "WMTS"])
def test_capabilities_name_the_address_that_was_asked(server: Instance, service: str) -> None:
    answer = server.ows(SERVICE=service, REQUEST="GetCapabilities")
    assert answer.status == 200, answer.text
    assert f"http://127.0.0.1:{server.port}/ows/?MAP=world" in answer.text


def test_parameter_names_in_any_case(server: Instance) -> None:
    answer = server.get("/ows/?map=world&service=WMS&rEqUeSt=GetCapabilities")
    assert (answer.status, "WMS_Capabilities" in answer.text) == (200, True)


def test_ows_without_a_slash(server: Instance) -> None:
    assert server.get("/ows?MAP=world&SERVICE=WMS&REQUEST=GetCapabilities").status == 200


def test_form_post(server: Instance) -> None:
    form = b"MAP=world&SERVICE=WMS&REQUEST=GetCapabilities"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", "/ows/", form, headers)
    assert (answer.status, "WMS_Capabilities" in answer.text) == (200, True), answer.text


def test_xml_post(server: Instance) -> None:
    body = (
        b'<?xml version="1.0"?><wfs:GetFeature service="WFS" version="1.1.0" maxFeatures="2"'
        b' xmlns:wfs="http://www.opengis.net/wfs"><wfs:Query typeName="countries"/></wfs:GetFeature>'
    )
    answer = server.request("POST", "/ows/?MAP=world", body, {"Content-Type": "text/xml"})
    assert (answer.status, answer.text.count("<gml:featureMember>")) == (200, 2), answer.text[:500]


def test_head_is_get_without_its_body(server: Instance) -> None:
    target = ows_path(SERVICE="WMS", REQUEST="GetCapabilities")
    get, head = server.get(target), server.request("HEAD", target)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.body))
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_a_large_answer_is_streamed_whole(server: Instance) -> None:
    answer = server.ows(
        SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME="countries", OUTPUTFORMAT="GeoJSON"
    )
    assert answer.status == 200
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(answer.json()["features"]) > 100


def test_ogc_api_features(server: Instance) -> None:
    answer = server.get("/wfs3/collections.json?MAP=world")
    assert answer.status == 200, answer.text
    assert {"countries", "places"} <= {collection["id"] for collection in answer.json()["collections"]}


def test_qgis_own_error_is_passed_on(server: Instance) -> None:
    answer = server.ows(SERVICE="WMS", REQUEST="GetNothing")
    assert answer.status in (400, 501)
    assert "ServiceException" in answer.text


def test_every_answer_says_who_and_how_long(server: Instance) -> None:
    answer = server.ows(**GET_MAP)
    assert answer.headers["Server"] == "qgsd"
    assert answer.headers["X-Request-Id"]
    names = [entry.split(";dur=")[0].strip() for entry in answer.headers["Server-Timing"].split(",")]
    assert names == ["queue", "load", "render"]


def test_the_clients_request_id_is_kept_unless_it_is_harmful(server: Instance) -> None:
    assert server.get("/ping", **{"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert server.get("/ping", **{"X-Request-Id": 'a" b'}).headers["X-Request-Id"] != 'a" b'


def test_health(server: Instance) -> None:
    assert [server.get(path).status for path in ("/ping", "/livez", "/readyz")] == [200, 200, 200]


def test_cors_preflight(server: Instance) -> None:
    headers = {"Origin": "http://map.example", "Access-Control-Request-Method": "GET"}
    answer = server.request("OPTIONS", "/ows/", headers=headers)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert server.get("/ping", Origin="http://map.example").headers["Access-Control-Allow-Origin"] == "*"


# The contract's table of errors.


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/ows/?SERVICE=WMS&REQUEST=GetCapabilities", 400),
        ("/ows/?MAP=&SERVICE=WMS&REQUEST=GetCapabilities", 400),
        ("/ows/?MAP=world%00&SERVICE=WMS&REQUEST=GetCapabilities", 400),
        ("/ows/?MAP=%ff%fe&SERVICE=WMS&REQUEST=GetCapabilities", 400),
        ("/ows/?MAP=../world&SERVICE=WMS&REQUEST=GetCapabilities", 403),
        ("/ows/?MAP=%2e%2e/world&SERVICE=WMS&REQUEST=GetCapabilities", 403),
        ("/ows/?MAP=/etc/passwd&SERVICE=WMS&REQUEST=GetCapabilities", 403),
        ("/ows/?MAP=file:///etc/passwd&SERVICE=WMS&REQUEST=GetCapabilities", 403),
        ("/ows/?MAP=postgresql:%3Fdbname%3Dx&SERVICE=WMS&REQUEST=GetCapabilities", 403),
        ("/ows/?MAP=nowhere&SERVICE=WMS&REQUEST=GetCapabilities", 404),
        ("/ows/?MAP=foo:bar&SERVICE=WMS&REQUEST=GetCapabilities", 404),
    ],
)
def test_errors_of_an_ows_request_are_exception_reports(server: Instance, target: str, status: int) -> None:
    answer = server.get(target)
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert "<ServiceExceptionReport" in answer.text


@pytest.mark.parametrize(("target", "status"), [("/wfs3/collections", 400), ("/nothing/here", 404)])
def test_other_errors_are_json(server: Instance, target: str, status: int) -> None:
    answer = server.get(target)
    assert answer.status == status
    told = answer.json()
    assert set(told) == {"error", "request_id"}
    assert set(told["error"]) == {"code", "message"}
    assert told["request_id"] == answer.headers["X-Request-Id"]


def test_a_project_that_does_not_load_is_422(server: Instance, shared_root) -> None:  # type: ignore[no-untyped-def]
    (shared_root / "broken.qgs").write_text("<qgis>this is not")
    answer = server.ows("broken", SERVICE="WMS", REQUEST="GetCapabilities")
    assert (answer.status, "broken" in answer.text) == (422, True), answer.text


def test_invalid_layers_are_422_and_named(server: Instance, shared_root) -> None:  # type: ignore[no-untyped-def]
    text = (shared_root / "world.qgs").read_text().replace("world.gpkg", "gone.gpkg")
    (shared_root / "layerless.qgs").write_text(text)
    answer = server.ows("layerless", SERVICE="WMS", REQUEST="GetCapabilities")
    assert answer.status == 422, answer.text
    assert "countries: " in answer.text


def test_a_link_out_of_the_root_is_403(server: Instance, shared_root, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secret.qgs").write_text((shared_root / "world.qgs").read_text())
    (shared_root / "link.qgs").symlink_to(tmp_path / "secret.qgs")
    assert server.ows("link", SERVICE="WMS", REQUEST="GetCapabilities").status == 403


def test_method_not_allowed_is_405(server: Instance) -> None:
    answer = server.request("DELETE", "/ows/?MAP=world")
    assert (answer.status, answer.headers["Allow"]) == (405, ", ".join(OwsHandler.methods))


def test_a_post_without_length_is_411(server: Instance) -> None:
    answer = server.raw(b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")


def test_a_body_too_large_is_413(server: Instance) -> None:
    answer = server.raw(b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_too_large_is_413(launch, projects) -> None:  # type: ignore[no-untyped-def]
    small = launch("--rootdir", str(projects), "--set", "server.max_body_size=1K")
    head = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert small.raw(head + b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_an_address_too_long_is_414(server: Instance) -> None:
    assert server.get("/ows/?MAP=world&X=" + "x" * 70_000).status == 414


def test_headers_too_large_are_431(server: Instance) -> None:
    assert server.get("/ping", **{"X-Long": "x" * 100_000}).status == 431


def test_a_malformed_request_is_400(server: Instance) -> None:
    assert server.raw(b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\nbad header\r\n\r\n").startswith(
        b"HTTP/1.1 400"
    )


def test_a_slow_client_is_408(launch, projects) -> None:  # type: ignore[no-untyped-def]
    impatient = launch("--rootdir", str(projects), "--set", "server.client_timeout=0.3")
    answer = impatient.raw(b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<a")
    assert answer.startswith(b"HTTP/1.1 408 ")
