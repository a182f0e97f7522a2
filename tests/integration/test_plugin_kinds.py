# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugins of every kind that QGIS Server knows, in one instance beside one that never loads."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.test_plugins import PLUGINS
from tests.waiting import wait_for

GUEST = {"X-Lizmap-User": "guest"}
FEATURES = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "OUTPUTFORMAT": "GeoJSON"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    """Restricted to the headers that py-qgis-server passes on; one worker, so that a cache can be seen."""
    options = f"[server]\nworkers=1\npluginpath={PLUGINS}\nallow_headers=X-Qgis-,X-Lizmap-\n"
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)), config=options
    )
    with instance:
        yield instance


# Filters.


def test_a_filter_answers_alone_with_status_and_headers(server: Instance) -> None:
    answer = server.get(ows_path(SERVICE="HELLO"), **{"X-Qgis-Name": "Zoë".encode().decode("latin-1")})
    assert (answer.status, answer.text) == (418, "Grüße, 世界")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Hello"].encode("latin-1").decode() == "Zoë"


def test_a_filter_changes_the_request(server: Instance) -> None:
    plain = server.ows(**GET_MAP | {"LAYERS": "coast_distance"})
    changed = server.get(ows_path(**GET_MAP), **{"X-Lizmap-Layers": "coast_distance"})
    assert (changed.status, changed.body) == (200, plain.body)


def test_a_filter_paints_over_a_map(server: Instance) -> None:
    answer = server.ows(**GET_MAP | {"WATERMARK": "yes"})
    image = Image.open(io.BytesIO(answer.body)).convert("RGB")
    assert (image.size, image.getpixel((5, 5))) == ((128, 128), (255, 0, 255))
    assert answer.headers["Content-Length"] == str(len(answer.body))


def _qgis(server: Instance) -> tuple[int, ...]:
    version = server.ctl_json("status")["qgis_version"]
    return tuple(int(part) for part in version.split("."))


@pytest.fixture(params=["SHOUT", "SHOUTLATE"])
def shout(request: pytest.FixtureRequest, server: Instance) -> dict[str, str]:
    """Asks for either form of a filter of streams, `sendResponse` and `onSendResponse`."""
    if request.param == "SHOUTLATE" and _qgis(server) < (3, 24):
        pytest.skip("this QGIS knows no onSendResponse")
    return {request.param: "1"}


def test_a_filter_rewrites_a_stream_each_piece_once(server: Instance, shout: dict[str, str]) -> None:
    """More than one piece of ours, and thousands of QGIS's."""
    parameters = FEATURES | {"TYPENAME": "countries"}
    plain, shouted = server.ows(**parameters), server.ows(**parameters, **shout)
    assert len(plain.body) > 300_000
    assert shouted.body == plain.body.replace(b"a", b"aA")
    assert shouted.headers["X-Piece"] == "1"


def test_a_filter_rewrites_a_short_stream(server: Instance, shout: dict[str, str]) -> None:
    parameters = FEATURES | {"TYPENAME": "places", "MAXFEATURES": "3"}
    plain, shouted = server.ows(**parameters), server.ows(**parameters, **shout)
    assert (plain.status, shouted.body) == (200, plain.body.replace(b"a", b"aA"))


def test_a_filter_of_the_late_form_keeps_the_others_from_being_asked(server: Instance) -> None:
    if _qgis(server) < (3, 24):
        pytest.skip("this QGIS asks all filters")
    parameters = FEATURES | {"TYPENAME": "places", "MAXFEATURES": "3"}
    both = server.ows(**parameters, SHOUT="1", SHOUTLATE="1")
    plain, hushed = server.ows(**parameters), server.ows(**parameters, SHOUT="1", HUSH="1")
    assert both.body == plain.body.replace(b"a", b"aAA")
    assert hushed.body == plain.body
    assert server.ows(SERVICE="HELLO").status == 418
    assert server.ows(SERVICE="HELLO", HUSH="1").status != 418


def test_a_filter_is_told_of_the_project(server: Instance) -> None:
    if _qgis(server) < (3, 36):
        pytest.skip("this QGIS knows no onProjectReady")
    assert server.ows(**GET_MAP).headers["X-Opened"] == "world"


def test_a_filter_that_fails_is_logged_and_qgis_goes_on(server: Instance) -> None:
    answer = server.ows(SERVICE="FAIL", REQUEST="GetCapabilities")
    assert "Traceback" not in answer.text
    wait_for("the failure is logged", lambda: "a filter that fails" in server.log_text)
    assert server.ows(**GET_MAP).status == 200


# Access control.


def test_access_control_hides_a_layer_also_from_what_qgis_keeps(server: Instance) -> None:
    target = ows_path(SERVICE="WMS", REQUEST="GetCapabilities")
    for _ in range(2):
        assert "<Name>oceans</Name>" in server.get(target).text
        guest = server.get(target, **GUEST).text
        assert "<Name>countries</Name>" in guest
        assert "<Name>oceans</Name>" not in guest


def test_access_control_forbids_a_layer(server: Instance) -> None:
    forbidden = server.get(ows_path(**GET_MAP | {"LAYERS": "oceans"}), **GUEST)
    assert (forbidden.status, "Security" in forbidden.text) == (403, True), forbidden.text


def test_access_control_filters_features_and_attributes(server: Instance) -> None:
    target = ows_path(**FEATURES, TYPENAME="countries")
    everyone, guest = server.get(target).json(), server.get(target, **GUEST).json()
    assert len(everyone["features"]) > 100
    (only,) = guest["features"]
    assert only["properties"]["name"] == "France"
    assert set(everyone["features"][0]["properties"]) - set(only["properties"]) == {"population"}


# Cache.


def test_a_cache_of_a_plugin_is_filled_and_asked(server: Instance) -> None:
    target = ows_path(SERVICE="WFS", VERSION="1.1.0", REQUEST="GetCapabilities", KEEP="1")
    assert "<!-- kept -->" not in server.get(target).text
    assert "<!-- kept -->" in server.get(target).text
    assert "<!-- kept -->" not in server.get(target, **GUEST).text


# OGC APIs.


def test_an_ogc_api_of_a_plugin(server: Instance) -> None:
    answer = server.get("/town/square.json?MAP=world&side=12")
    assert (answer.status, answer.json()["area"]) == (200, 144), answer.text
    assert answer.json()["self"].startswith(f"http://127.0.0.1:{server.port}/town/square")


def test_an_api_of_a_plugin_gets_everything(server: Instance) -> None:
    answer = server.request("PUT", "/plain/some/where?MAP=world", b"a body")
    assert answer.status == 202
    assert answer.json() == {
        "method": "PUT", "path": "/plain/some/where", "body": "a body", "project": "world.qgs"
    }  # fmt: skip


def test_an_api_of_a_plugin_needs_no_project(server: Instance) -> None:
    answer = server.get("/plain/anything")
    assert (answer.status, answer.json()["project"]) == (202, None)


@pytest.mark.parametrize("path", ["/nothing?MAP=world", "/nothing"])
def test_where_no_plugin_has_an_api_there_is_nothing(server: Instance, path: str) -> None:
    # The second time it is remembered.
    for _ in range(2):
        answer = server.get(path)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found")


# Headers, and all of them together.


def test_only_allowed_headers_reach_a_plugin(server: Instance) -> None:
    answer = server.get(ows_path(SERVICE="PROBE", REQUEST="inside"), **{"X-Probe": "seen"})
    assert (answer.status, answer.headers["X-Probe"] or "") == (200, "")


def test_the_faulty_one_is_told_and_the_others_work(server: Instance) -> None:
    events = [json.loads(line) for line in server.ctl("--json", "events").stdout.splitlines()]
    (broken,) = [event["reason"] for event in events if event["event"] == "plugin.broken"]
    assert "faulty" in broken
