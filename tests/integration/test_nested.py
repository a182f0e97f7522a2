# SPDX-License-Identifier: GPL-2.0-or-later
"""Projects that show maps of the very server that serves them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.test_fork import PROJECT_WITH_REMOTE_LAYER
from tests.waiting import wait_for

Launch = Callable[..., Instance]
# This very server needs no mention.
HOSTS = "network.hosts=own, 127.0.0.2"


@pytest.fixture
def instance(launch: Launch, projects: Path) -> Instance:
    """Two workers, on a port that its own projects can name."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return launch("--rootdir", str(projects), "-w", "2", "--timeout", "15", "--set", HOSTS, port=port)


def mirror(instance: Instance, projects: Path, name: str, asked: str, layer: str) -> Path:
    """A project whose one layer, "remote", is a layer of another project of the very instance."""
    address = f"http%3A//127.0.0.1:{instance.port}/ows/?MAP%3D{asked}"
    source = f"crs=EPSG:3857&format=image/png&layers={layer}&styles=&url={address}"
    path = projects / f"{name}.qgs"
    script = [sys.executable, "-c", PROJECT_WITH_REMOTE_LAYER, source, str(path)]
    made = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return path


def test_projects_may_show_maps_of_this_server_but_not_in_a_loop(instance: Instance, projects: Path) -> None:
    one = mirror(instance, projects, "one", "world", "countries")
    mirror(instance, projects, "two", "one", "remote")
    loop = one.read_text().replace("MAP%3Dworld", "MAP%3Dloop").replace("layers=countries", "layers=remote")
    (projects / "loop.qgs").write_text(loop)

    # Fresh workers: loading a project asks for capabilities, which loads the next, and so on.
    instance.ctl("restart")
    targets = [ows_path("two", **(GET_MAP | {"LAYERS": "remote", "WIDTH": str(120 + n)})) for n in range(8)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(instance.get, targets))
    assert [answer.status for answer in answers] == [200] * 8, [answer.text[:300] for answer in answers]
    assert min(len(answer.body) for answer in answers) > 2000, "each shows the countries"

    answer = instance.ows("loop", **(GET_MAP | {"LAYERS": "remote"}))
    assert (answer.status, "loop" in answer.text) == (508, True), answer.text
    assert instance.ows(**GET_MAP).status == 200
    instance.ctl("scale", "2")
    wait_for("the workers for nested requests have gone", lambda: len(instance.workers()) == 2, 30)


def test_the_mark_cannot_be_guessed_and_is_not_told(instance: Instance) -> None:
    forged = instance.get(ows_path(**GET_MAP), Cookie="qgsd_nested=guess/9/a; a=b")
    assert forged.status == 200
    assert "qgsd_nested" not in json.dumps(dict(forged.headers))


def test_no_host_that_a_client_names_is_told_the_mark(instance: Instance, projects: Path) -> None:
    """The token would let whoever has it pass before all others."""
    heard: list[str] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("Cookie", ""))
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.2", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        project = mirror(instance, projects, "strange", "world", "countries")
        address = f"127.0.0.2:{stranger.server_port}"
        project.write_text(project.read_text().replace(f"127.0.0.1:{instance.port}", address))
        # Every worker serves a request for that host before it loads the layer from it.
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: instance.get(ows_path(**GET_MAP), Host=address), range(16)))
        assert instance.ows("strange", **(GET_MAP | {"LAYERS": "remote"})).status == 422
        stranger.shutdown()
    assert heard, "QGIS has asked the other host"
    assert not any("qgsd_nested" in cookies for cookies in heard)
