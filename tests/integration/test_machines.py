# SPDX-License-Identifier: GPL-2.0-or-later
"""Proxy and worker machines, here over loopback: they join and leave as they like, under load."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import qgsd
from qgsd import messages
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.waiting import wait_for

Launch = Callable[..., Instance]
TILE = ows_path(**GET_MAP)


@pytest.fixture
def port() -> str:
    """A port for workers that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def proxy(launch: Launch, port: str, *more: str) -> Instance:
    return launch("--proxy", "--set", f"zmq.bindaddr=tcp://127.0.0.1:{port}", *more)


def worker(launch: Launch, port: str, projects: Path, *more: str, **options: Any) -> Instance:
    arguments = ("--host", "127.0.0.1", "--port", port, "--rootdir", str(projects), *more)
    return launch(*arguments, command="worker", **options)


def test_a_proxy_without_workers_says_503(launch: Launch, port: str) -> None:
    alone = proxy(launch, port, "--set", "supervision.worker_grace=0.5")
    assert alone.get("/livez").status == 200
    assert alone.get("/readyz").status == 503
    answer = alone.get(TILE)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_machines_join_and_leave_under_load(launch: Launch, port: str, projects: Path) -> None:
    front = proxy(launch, port)
    first = worker(launch, port, projects)
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    with Crowd(front, 4, TILE) as crowd:
        crowd.wait_answers(20)
        second = worker(launch, port, projects, "-w", "3")
        crowd.wait_answers(20)
        first.signal("TERM")
        assert first.wait_end() == 0
        crowd.wait_answers(20)
        third = worker(launch, port, projects)
        second.signal("TERM")
        assert second.wait_end() == 0
        crowd.wait_answers(20)
        assert len(third.workers()) == 2
    assert crowd.bad == []


def test_the_proxy_restarts_its_children_under_load(launch: Launch, port: str, projects: Path) -> None:
    front = proxy(launch, port)
    worker(launch, port, projects)
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    with Crowd(front, 4, TILE) as crowd:
        front.ctl("restart")
        crowd.wait_answers(20)
    assert crowd.bad == []


def machine_names(instance: Instance) -> list[str]:
    return [row["machine"] for row in instance.ctl_json("status")["machines"]]


def test_the_proxy_sees_machines_and_commands_them(launch: Launch, port: str, projects: Path) -> None:
    """Come, scaled, killed, restarted, reloaded, drained: all from the proxy, with clients all the time."""
    front = proxy(launch, port)
    near = worker(launch, port, projects, "-w", "1", "--set", "worker.name=near")
    far = worker(launch, port, projects, "-w", "1", "--set", "worker.name=far")
    wait_for("both are there", lambda: machine_names(front) == ["far", "near"])
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    with Crowd(front, 2, TILE) as crowd:
        assert front.ctl_json("scale", "far", "3")["ready"] == 3
        assert front.ctl_json("status")["workers"]["target"] == 4
        of_far = [row for row in front.workers() if row["machine"] == "far"]
        assert sorted(row["slot"] for row in of_far) == [0, 1, 2]
        assert {row["pid"] for row in of_far} == {row["pid"] for row in far.workers()}
        killed = front.ctl_json("kill", "far/2")
        assert killed["killed"] in {row["pid"] for row in of_far}
        assert front.ctl_json("restart", "near")["generation"] == 2
        assert front.ctl_json("restart")["generation"] == 2
        assert [one.ctl_json("status")["generation"] for one in (near, far)] == [3, 2]
        assert front.ctl_json("reload")
        assert front.ctl_json("drain", "far") == {"machine": "far", "state": "gone"}
        assert far.wait_end() == 0
        assert machine_names(front) == ["near"]
        crowd.wait_answers(20)
    assert crowd.bad == []
    told = [event["event"] for event in front.events("machine.")]
    assert told == ["machine.joined"] * 2 + ["machine.draining", "machine.left"]
    refused = front.ctl("drain", "far", check=False)
    assert (refused.returncode, "no machine 'far': near" in refused.stderr) == (1, True)
    assert front.ctl("drain", "near").returncode == 0


def other_version(folder: Path, version: str, protocol: int) -> dict[str, str]:
    """The environment for a qgsd of another version, made of a copy of this one."""
    package = Path(qgsd.__file__).parent
    shutil.copytree(package, folder / "qgsd", ignore=shutil.ignore_patterns("__pycache__", "static"))
    for path, old, new in (
        ("__init__.py", f'__version__ = "{qgsd.__version__}"', f'__version__ = "{version}"'),
        ("messages/wire.py", f"PROTOCOL = {messages.PROTOCOL}\n", f"PROTOCOL = {protocol}\n"),
    ):
        text = (folder / "qgsd" / path).read_text()
        assert old in text
        (folder / "qgsd" / path).write_text(text.replace(old, new))
    return {"PYTHONPATH": str(folder)}


def test_another_version_serves_and_another_protocol_is_told_on_both_sides(
    launch: Launch, port: str, projects: Path, tmp_path: Path
) -> None:
    front = proxy(launch, port)
    near = other_version(tmp_path / "near", "0.0.7", messages.PROTOCOL)
    far = other_version(tmp_path / "far", "9.9.9", messages.PROTOCOL + 1)
    older = worker(launch, port, projects, "-w", "1", "--set", "worker.name=older", wait=False, env=near)
    newer = worker(launch, port, projects, "-w", "1", "--set", "worker.name=newer", env=far)
    older.wait_serving()
    wait_for("the older one serves", lambda: front.get("/readyz").status == 200)
    (machine,) = front.ctl_json("status")["machines"]
    assert (machine["machine"], machine["version"]) == ("older", "0.0.7")
    assert front.get(TILE).status == 200
    wait_for("the proxy tells", lambda: front.events("machine.failed"))
    (told,) = front.events("machine.failed")
    assert "newer was refused: it speaks protocol" in told["reason"]
    assert "qgsd 9.9.9" in told["reason"]
    (told,) = newer.events("proxy.failed")
    assert f"the proxy {messages.PROTOCOL} (qgsd {qgsd.__version__})" in told["reason"]
    assert not newer.events("worker.crashed"), "its workers wait for a proxy that suits them"


def test_workers_wait_for_a_proxy_that_comes_later(launch: Launch, port: str, projects: Path) -> None:
    early = worker(launch, port, projects)
    front = proxy(launch, port)
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    assert front.get(TILE).status == 200
    assert early.process.poll() is None


def test_a_proxy_has_no_workers_to_scale(launch: Launch, port: str) -> None:
    refused = proxy(launch, port).ctl("scale", "4", check=False)
    assert (refused.returncode, "proxy" in refused.stderr) == (1, True)


def test_another_machine_needs_encryption_or_consent(launch: Launch, projects: Path) -> None:
    lone = launch("--host", "192.0.2.1", "--rootdir", str(projects), command="worker", wait=False)
    assert lone.wait_end() == 1
    assert "insecure=yes" in lone.log_text


def test_a_project_changes_on_all_machines_at_one_instant(
    launch: Launch, port: str, projects: Path, tmp_path: Path
) -> None:
    """Each machine has its own copy, and one gets the new version later."""
    copies = [tmp_path / name for name in ("here", "there")]
    for copy in copies:
        shutil.copytree(projects, copy)
    front = proxy(launch, port)
    machines = [worker(launch, port, copy, "-w", "1") for copy in copies]
    wait_for("a worker is there", lambda: front.get("/readyz").status == 200)
    old = front.get(TILE).body
    with Crowd(front, 4, TILE):
        wait_for("both have it open", lambda: len(front.ctl_json("projects")[0]["workers"]) == 2)
    seen: list[bytes] = []

    def served_anew() -> bool:
        seen.append(front.get(TILE).body)
        return seen[-1] != old

    for copy in copies:
        path = copy / "world.qgs"
        new = re.sub(r'"\d+,\d+,\d+,255(,rgb:[^"]*)?"', '"255,0,0,255"', path.read_text())
        path.with_suffix(".new").write_text(new)
        path.with_suffix(".new").replace(path)
        wait_for("the new version is served", served_anew)
        for _ in range(8):
            served_anew()
    changes = [before != after for before, after in pairwise(seen)]
    assert sum(changes) == 1, "once the new version is served nobody gets the old one"
    assert front.ctl_json("projects")[0]["generation"] == 2
    assert all(machine.process.poll() is None for machine in machines)
