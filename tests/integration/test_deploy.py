# SPDX-License-Identifier: GPL-2.0-or-later
"""The chart's commands and configuration, started: proxy and worker pass their probes and serve."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.waiting import wait_for

pytest.importorskip("helm_python", reason="helm-python-sdk, Helm as a library, has no wheel for this machine")
pytest.importorskip("yaml")

from tests.unit import chart

Launch = Callable[..., Instance]


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


class Cluster:
    """The pods of a rendered chart as processes: other ports, and files where the test has them."""

    def __init__(self, rendered: chart.Rendered, folder: Path, projects: Path, launch: Launch) -> None:
        self.rendered, self.folder, self.projects, self.launch = rendered, folder, projects, launch
        for name, content in rendered.of("Secret")["stringData"].items():
            (folder / name).write_text(content)
            (folder / name).chmod(0o440)
        self.queue = free_ports(1)[0]
        self.ports: dict[str, dict[str, int]] = {}

    def start(self, part: str) -> Instance:
        names = self.rendered.ports(part)
        self.ports[part] = dict(zip(names, free_ports(len(names)), strict=True)) | {"queue": self.queue}
        command, *arguments = self.rendered.container(part)["args"]
        arguments = arguments[: arguments.index("--config")]
        service = self.rendered.of("Service", "-queue")["metadata"]["name"]
        swap = {service: "127.0.0.1", "18080": str(self.queue)}
        line = [swap.get(word, word) for word in arguments]
        instance = self.launch(*line, command=command, config=self._config(part), port=None)
        return instance

    def _config(self, part: str) -> str:
        text: str = self.rendered.of("ConfigMap")["data"]["qgsd.ini"]
        text = text.replace("=/etc/qgsd/secret/", f"={self.folder}/")
        text = re.sub(r"(?m)^rootdir=.*$", f"rootdir={self.projects}", text)
        for name, port in (("http", 8080), ("queue", 18080), ("management", 19876)):
            text = re.sub(rf"\b{port}\b", str(self.ports[part].get(name, 0)), text)
        return text.replace("tcp://*", "tcp://127.0.0.1")

    def probe(self, part: str, kind: str) -> int:
        target = self.rendered.container(part)[kind]["httpGet"]
        return get(self.ports[part][target["port"]], target["path"])


def test_the_pods_of_the_chart_serve_and_pass_their_probes(
    launch: Launch, projects: Path, tmp_path: Path
) -> None:
    values: dict[str, Any] = {**chart.SECRET, "worker": {"processes": 1}, "proxy": {"jobs": 1}}
    rendered = chart.render({"it": values})[0]["it"]
    assert isinstance(rendered, chart.Rendered), rendered
    cluster = Cluster(rendered, tmp_path, projects, launch)
    cluster.start("proxy")
    assert cluster.probe("proxy", "livenessProbe") == 200
    assert cluster.probe("proxy", "readinessProbe") == 503, "no worker has joined"
    worker = cluster.start("worker")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        wait_for(f"the worker passes its {probe}", lambda probe=probe: cluster.probe("worker", probe) == 200)
    wait_for("the proxy is ready", lambda: cluster.probe("proxy", "readinessProbe") == 200)
    assert get(cluster.ports["proxy"]["http"], ows_path(**GET_MAP)) == 200
    worker.signal("TERM")
    grace = rendered.pod("worker")["spec"]["terminationGracePeriodSeconds"]
    assert worker.wait_end(grace) == 0
    wait_for("the proxy says that it has none", lambda: cluster.probe("proxy", "readinessProbe") == 503)
