# SPDX-License-Identifier: GPL-2.0-or-later
"""`/metrics`, as Prometheus reads it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.integration.management import TOKEN, ask, management_port
from tests.waiting import wait_for

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")

Labels = frozenset[tuple[str, str]]


def scrape(instance: Instance) -> dict[tuple[str, Labels], float]:
    """Every sample there is."""
    answer = ask(instance, "/metrics")
    assert (answer.status, answer.headers["Content-Type"][:10]) == (200, "text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def maps(samples: dict[tuple[str, Labels], float]) -> float:
    labels = {"project": "world", "service": "WMS", "request": "GetMap", "status": "200"}
    return value(samples, "qgsd_requests_total", **labels)


def test_requests_are_counted_and_outlive_their_http_child(managed: Instance) -> None:
    before = maps(scrape(managed))
    for _ in range(3):
        assert managed.get(ows_path(**GET_MAP)).status == 200
    assert managed.get(ows_path("nowhere", **GET_MAP)).status == 404
    wait_for("three maps", lambda: maps(scrape(managed)) == before + 3)
    managed.ctl("restart")
    assert managed.get(ows_path(**GET_MAP)).status == 200
    wait_for("a fourth", lambda: maps(scrape(managed)) == before + 4)
    samples = scrape(managed)
    kind = {"service": "WMS", "request": "GetMap"}
    for phase in ("request", "queue", "load", "render"):
        assert value(samples, f"qgsd_{phase}_duration_seconds_count", **kind) >= 4
    assert value(samples, "qgsd_render_duration_seconds_sum", **kind) > 0
    assert not [name for name, labels in samples if ("project", "nowhere") in labels]


def test_what_the_master_tells(managed: Instance) -> None:
    assert managed.get(ows_path(**GET_MAP)).status == 200
    # The one that has just answered may still be busy with putting its things away.
    wait_for("both are idle", lambda: value(scrape(managed), "qgsd_workers", state="idle") == 2)
    samples = scrape(managed)
    status = managed.ctl_json("status")
    assert value(samples, "qgsd_ready") == 1
    assert status["workers"]["ready"] == 2
    assert value(samples, "qgsd_workers_joined") == 2
    assert value(samples, "qgsd_queue_limit") == status["queue"]["max"]
    assert value(samples, "qgsd_projects_open") == 1
    assert value(samples, "qgsd_project_workers", project="world") >= 1
    assert value(samples, "qgsd_memory_bytes", role="worker", slot="0", kind="pss") > 1 << 20
    assert 0 < value(samples, "qgsd_worker_busy_seconds_total") < value(samples, "qgsd_worker_seconds_total")
    assert 0 <= value(samples, "qgsd_saturation") <= 1


def test_ends_are_counted_by_how_and_why(managed: Instance) -> None:
    before = scrape(managed)
    managed.child("dispatcher").terminate()
    managed.ctl("kill", "0")
    kinds = (
        {"role": "dispatcher", "how": "crashed", "reason": "SIGTERM"},
        {"role": "worker", "how": "killed", "reason": "command"},
    )

    def counted() -> bool:
        now = scrape(managed)
        return all(
            value(now, "qgsd_child_ends_total", **kind) == value(before, "qgsd_child_ends_total", **kind) + 1
            for kind in kinds
        )

    wait_for("both are counted", counted)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool of Debian's package prometheus is not installed")
def test_promtool_finds_no_fault(managed: Instance) -> None:
    assert managed.get(ows_path(**GET_MAP)).status == 200
    text = ask(managed, "/metrics").text
    checked = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr + checked.stdout) == (0, "")


@pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
def test_prometheus_scrapes_it(managed: Instance, tmp_path: Path) -> None:
    scraped = f"127.0.0.1:{management_port(managed)}"
    (tmp_path / "p.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: qgsd\n"
        f"  authorization: {{credentials: {TOKEN}}}\n"
        f"  static_configs: [{{targets: ['{scraped}']}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = [str(PROMETHEUS), "--config.file=p.yml", "--storage.tsdb.path=data", "--log.level=error"]
    with (tmp_path / "log").open("wb") as log:
        prometheus = subprocess.Popen(
            [*line, f"--web.listen-address=127.0.0.1:{port}"], cwd=tmp_path, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}/api/v1/query?query=qgsd_workers_wanted"

    def asked() -> list[str]:
        assert prometheus.poll() is None, (tmp_path / "log").read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return [series["value"][1] for series in found]

    try:
        assert wait_for("Prometheus has the number of workers", asked, 30) == ["2"]
    finally:
        prometheus.terminate()
        prometheus.wait(10)
