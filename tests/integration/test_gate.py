# SPDX-License-Identifier: GPL-2.0-or-later
"""Which servers QGIS may ask: real layers of a real server, let through and not."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Instance
from tests.waiting import wait_for

Launch = Callable[..., Instance]

# What QGIS asks by, each with an address of its own: {host} is replaced.
SOURCES = {
    "wms": ("wms", "crs=EPSG:3857&format=image/png&layers=x&styles=&url=http://{host}/wms?"),
    "wfs": ("WFS", "url='http://{host}/wfs' typename='a:b' version='auto'"),
    "arcgis": ("arcgisfeatureserver", "crs='EPSG:3857' url='http://{host}/arcgis/FeatureServer/0'"),
    "vsicurl": ("gdal", "/vsicurl/http://{host}/vsicurl.tif"),
    "geojson": ("ogr", "http://{host}/geojson.geojson"),
}
PROJECT = """
import os, sys, json
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import *
application = QgsApplication([], False); application.initQgis()
project = QgsProject()
base = QgsVectorLayer(sys.argv[2], "countries", "ogr")
assert base.isValid()
layers = []
if sys.argv[3]:
    marker = QgsSvgMarkerSymbolLayer(sys.argv[3] + "/svg.svg")
    base.setRenderer(QgsSingleSymbolRenderer(QgsMarkerSymbol([marker])))
    layers.append(base)
for name, (provider, source) in json.loads(sys.argv[4]).items():
    kind = QgsVectorLayer if provider in ("WFS", "ogr", "arcgisfeatureserver") else QgsRasterLayer
    layers.append(kind(source, name, provider))
project.addMapLayers(layers)
project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
assert project.write(sys.argv[1])
os._exit(0)
"""


class Origin(BaseHTTPRequestHandler):
    """Notes what is asked for, and has nothing."""

    heard: list[str]

    def do_GET(self) -> None:
        self.server.heard.append(self.path)  # type: ignore[attr-defined]
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def origin() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        server.heard = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def heard(origin: ThreadingHTTPServer) -> set[str]:
    """The first words of the paths that were asked for."""
    return {re.split(r"[/.?]", path.strip("/"))[0] for path in origin.heard}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_root: Path, origin: ThreadingHTTPServer) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    host = f"127.0.0.1:{origin.server_port}"
    sources = {name: (kind, source.format(host=host)) for name, (kind, source) in SOURCES.items()}
    points = f"{shared_root / 'world.gpkg'}|layername=places"
    # One whose layers are all remote, one that has its own and a remote picture.
    for name, picture, layers in (("remote", "", sources), ("drawn", f"http://{host}", {})):
        line = [
            sys.executable,
            "-c",
            PROJECT,
            str(folder / f"{name}.qgs"),
            points,
            picture,
            json.dumps(layers),
        ]
        made = subprocess.run(line, capture_output=True, text=True, timeout=100)
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Instance]:
    options = ("--rootdir", str(root), "-w", "1", "--set", "cache.broken_ttl=0")
    instance = Instance(tmp_path_factory.mktemp("q") / "i", "run", options)
    with instance:
        yield instance


def show(instance: Instance) -> None:
    """Open both projects. No layer of the first is to be had either way; of the second its picture."""
    assert instance.ows("remote", **GET_MAP).status == 422
    assert instance.ows("drawn", **POINTS).status == 200


POINTS = GET_MAP | {"LAYERS": "countries", "BBOX": "-20000000,-10000000,20000000,20000000"}


def test_projects_reach_only_servers_that_are_let_through(
    instance: Instance, origin: ThreadingHTTPServer
) -> None:
    """The same project, refused everything first, then, with the host listed, let through: live."""
    origin.heard.clear()  # type: ignore[attr-defined]
    assert "gate" not in {row["role"] for row in instance.ctl_json("ps")}
    show(instance)
    assert heard(origin) == set()
    told = instance.ctl("events").stdout
    assert "network.refused" in told
    assert "QGIS was not let ask 127.0.0.1" in told
    assert instance.child("gate").name()

    instance.ctl("set", "network.hosts", "127.0.0.1")
    # What could not be had is remembered by QGIS for a while.
    instance.ctl("kill", "0")
    show(instance)
    wait_for("all of them are asked", lambda: heard(origin) >= {*SOURCES, "svg"}, 10)


def test_it_is_replaced_and_outlives_a_crash(instance: Instance, origin: ThreadingHTTPServer) -> None:
    before = instance.child("gate")
    before.kill()
    wait_for("a new gate", lambda: instance.child("gate").pid != before.pid, 10)
    second = instance.child("gate").pid
    instance.ctl("restart")
    assert instance.child("gate").pid not in (before.pid, second)
    origin.heard.clear()  # type: ignore[attr-defined]
    show(instance)
    assert heard(origin) >= {"wms", "svg"}


def test_nonsense_at_the_gate_disturbs_nobody(instance: Instance, origin: ThreadingHTTPServer) -> None:
    gate = instance.child("gate")
    (listening,) = [one for one in gate.net_connections() if one.status == "LISTEN"]
    refused = b"CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n"
    for line in (b"\0\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", refused, b"x" * 200_000):
        with socket.create_connection(listening.laddr, timeout=10) as client:
            answer = b""
            with contextlib.suppress(OSError):
                client.sendall(line)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(100)
            assert not answer.startswith(b"HTTP/1.1 200"), answer
    with socket.create_connection(listening.laddr, timeout=10) as client:
        target = f"127.0.0.1:{origin.server_port}"
        client.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /tunnel HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.0 404")
    assert instance.child("gate").pid == gate.pid
