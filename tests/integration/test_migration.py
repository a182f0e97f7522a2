# SPDX-License-Identifier: GPL-2.0-or-later
"""An installation of py-qgis-server, started by its own command with its own configuration."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.instance import BIN, GET_MAP, Instance, ows_path
from tests.integration.test_plugins import PLUGINS
from tests.unit.test_migration import SUITE
from tests.waiting import wait_for

CAPABILITIES = "SERVICE=WMS&REQUEST=GetCapabilities"
CONFIG = """\
[server]
port=8080
workers=1
timeout=20
status_page=yes
debug_request_id=*
allow_headers=X-Qgis-,X-Lizmap-
[logging]
level=INFO
[api.enabled]
landing_page=yes
[api.endpoints]
landing_page=/ows/catalog
plain=/plain
[api:landing_page]
QGIS_SERVER_LANDING_PAGE_PREFIX=${api.endpoints:landing_page}
QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES=${projects.cache:rootdir}
[api:plain]
PROBE_TOKEN=seen
QGIS_SERVER_WFS_SERVICE_URL=https://wfs.example/here
[projects.cache]
rootdir=%(root)s
strict_check=yes
check_interval=0
[projects.schemes]
here=%(root)s/
one=file:world?data={path}
[zmq]
hostaddr=127.0.0.1
bindaddr=tcp://${zmq:hostaddr}:18080
broadcastaddr=tcp://${zmq:hostaddr}:18090
[metadata]
title=Maps <of> here
contact_name=Map desk
contact_url=https://desk.example/
licence_url=javascript:alert(1)
licence_name=CC-BY
"""


class Moved(Instance):
    """`qgisserver …` in the place of `qgsd run …`."""

    command = "qgisserver"

    def _spawn(self, line: list[str]) -> subprocess.Popen[bytes]:
        return super()._spawn([str(BIN / self.command), *line[2:]])


class MovedWorker(Moved):
    """`qgisserver-worker …` in the place of `qgsd worker …`."""

    command = "qgisserver-worker"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    config = CONFIG % {"root": shared_root}
    environment = {"QGIS_PROJECT_FILE": str(shared_root / "world.qgs"), "QGIS_PLUGINPATH": str(PLUGINS)}
    folder = tmp_path_factory.mktemp("q") / "i"
    instance = Moved(folder, "run", ("-b", "127.0.0.1", "-w", "1"), config=config, env=environment)
    with instance:
        yield instance


# Which project.


def test_map_then_header_then_variable(moved: Instance) -> None:
    for target, headers, named in (
        (f"/ows/?MAP=world.qgs&{CAPABILITIES}", {"X-Qgis-Project": "nothing"}, "world.qgs"),
        (f"/ows/?{CAPABILITIES}", {"X-Qgis-Project": "world"}, "world"),
        (f"/ows/?{CAPABILITIES}", {}, "world.qgs"),
        (f"/ows/?MAP=here:world&{CAPABILITIES}", {}, "here:world"),
        (f"/ows/?MAP=one:any&{CAPABILITIES}", {}, "one:any"),
        ("/wfs3/collections", {}, "world.qgs"),
    ):
        answer = moved.get(target, **headers)
        assert (answer.status, answer.headers["X-Map-Id"]) == (200, named), (target, answer.text[:300])


def test_the_header_reaches_no_more_than_map_does(moved: Instance) -> None:
    assert moved.get(f"/ows/?{CAPABILITIES}", **{"X-Qgis-Project": "../x"}).status == 403
    assert moved.get(f"/ows/?{CAPABILITIES}", **{"X-Qgis-Project": "nothing"}).status == 404
    assert "X-Qgis-Project" in moved.get(f"/ows/?{CAPABILITIES}").headers["Vary"]


# Its paths.


def test_ping(moved: Instance) -> None:
    answer = moved.get("/ping")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert (answer.headers["Cache-Control"], answer.headers["X-Server-Status"]) == ("no-store", "ok")
    assert moved.request("HEAD", "/ping").headers["X-Server-Status"] == "ok"


def test_status_page(moved: Instance) -> None:
    told = moved.get("/status").json()
    assert (told["state"], len(told["links"])) == ("running", 2)
    assert moved.get("/status/versions").json()["version"] == told["version"]
    for secret in ("/status/env", "/status/config"):
        answer = moved.get(secret)
        assert (answer.status, "holds secrets" in answer.text) == (403, True)
    assert moved.get("/status/other").status == 404


def test_qgis_landing_page_at_its_endpoint(moved: Instance) -> None:
    listed = moved.get("/ows/catalog/index.json").json()
    assert [project["title"] for project in listed["projects"]] == ["World"]
    assert listed["links"][0]["href"] == f"http://127.0.0.1:{moved.port}/ows/catalog/index.json"


def test_an_endpoint_that_is_not_enabled_is_closed(moved: Instance) -> None:
    assert moved.get("/plain/anything").status == 404
    assert moved.get("/town/square.json?MAP=world&side=3").status == 200


def test_variables_of_api_sections_reach_plugins(moved: Instance) -> None:
    answer = moved.ows(SERVICE="PROBE", REQUEST="variable", VALUE="PROBE_TOKEN")
    assert (answer.status, answer.json()) == (200, {"value": "seen"})


def test_the_root_tells_what_metadata_says(moved: Instance) -> None:
    told = moved.get("/", Accept="application/json").json()
    assert told["info"] == {
        "title": "Maps <of> here", "contact": {"name": "Map desk", "url": "https://desk.example/"},
        "licence": {"name": "CC-BY", "url": "javascript:alert(1)"},
    }  # fmt: skip
    assert told["servers"] == [{"url": f"http://127.0.0.1:{moved.port}"}]
    page = moved.get("/", Accept="text/html").text
    assert "<h1>Maps &lt;of&gt; here</h1>" in page
    assert '<li><a href="https://desk.example/">Map desk</a></li>' in page
    assert "<li>CC-BY</li>" in page


def test_variables_of_qgis_name_the_address_of_one_service(moved: Instance) -> None:
    """QGIS itself takes that of WFS for WMS."""
    wfs, wms, wcs = (moved.ows(SERVICE=s, REQUEST="GetCapabilities").text for s in ("WFS", "WMS", "WCS"))
    assert 'xlink:href="https://wfs.example/here"' in wfs
    for other in (wms, wcs):
        assert "wfs.example" not in other
        assert f'xlink:href="http://127.0.0.1:{moved.port}/ows/?MAP=world' in other


# Headers of requests.


def test_a_request_is_logged_in_full_where_its_client_says_so(moved: Instance) -> None:
    quiet = moved.get(ows_path(**GET_MAP), **{"X-Request-Id": "quiet-1"})
    loud = moved.get(ows_path(**GET_MAP), **{"X-Request-Id": "loud-1", "X-Debug-Id": "any"})
    assert (quiet.headers["X-Request-Id"], loud.headers["X-Request-Id"]) == ("quiet-1", "loud-1")
    wait_for("the request is logged", lambda: "is logged in full: GET" in moved.log_text)
    assert moved.log_text.count("is logged in full") == 1


def test_options(moved: Instance) -> None:
    answer = moved.request("OPTIONS", "/ows/", headers={"Origin": "https://other.example"})
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_what_has_no_effect_is_in_the_log(moved: Instance) -> None:
    assert "[zmq] broadcastaddr has no effect: workers hear of restarts" in moved.log_text


# The environment of its own tests and container examples, and a worker apart.


def test_its_environment_starts_unchanged(tmp_path: Path, projects: Path) -> None:
    environment = {
        variable: value.replace("/srv/maps", str(projects)).replace("/srv/plugins", str(PLUGINS))
        for variable, value in SUITE.items()
        if not variable.startswith("PG")
    }
    arguments = ("-b", "127.0.0.1", "--set", "management.port=0")
    instance = Moved(tmp_path / "i", "run", arguments, env=environment)
    with instance:
        assert instance.get(f"/ows/?MAP=test:world&{CAPABILITIES}").status == 200
        assert instance.get("/ows/catalog/index.json").status == 200
        assert "QGSRV_SERVER_MONITOR has no effect: the access log" in instance.log_text
        assert "other machines reach 0.0.0.0, but are answered 401; set token" in instance.log_text


def test_a_proxy_and_a_worker_by_its_commands(tmp_path: Path, projects: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    environment = {"QGSRV_ZMQ_HOSTADDR": "127.0.0.1", "QGSRV_WORKER_PORT": port}
    bound = {"QGSRV_ZMQ_INADDR": f"tcp://127.0.0.1:{port}"}
    arguments = ("--host=localhost", "--identity", "WORKER", f"--rootdir={projects}")
    front = Moved(tmp_path / "proxy", "run", ("--proxy", "-b", "127.0.0.1"), env=environment | bound)
    worker = MovedWorker(tmp_path / "worker", "worker", arguments, env=environment)
    try:
        front.wait_serving()
        wait_for("the worker has joined", lambda: front.get("/readyz").status == 200)
        assert front.get(f"/ows/?MAP=world&{CAPABILITIES}").status == 200
        assert len(worker.workers()) == 1
    finally:
        left = [*worker.end(), *front.end()]
    assert not left, f"left behind: {left}"


def test_a_refused_option_stops_the_start_with_what_to_use(tmp_path: Path) -> None:
    path = tmp_path / "server.conf"
    path.write_text("[server]\nenable_filters=yes\n")
    done = subprocess.run(
        [str(BIN / "qgisserver"), "-c", str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert f"{path}:2: [server] enable_filters: an option of py-qgis-server" in done.stderr
    assert "instead: filters are code inside" in done.stderr


def test_events_are_one_json_object_a_line(moved: Instance) -> None:
    """What docs/migrating.md says to follow in the place of cache observers."""
    assert all(json.loads(line)["event"] for line in moved.ctl("--json", "events").stdout.splitlines())
