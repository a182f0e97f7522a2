# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting: the bounded queue, deadlines, fairness over projects, clients that go away."""

from __future__ import annotations

import itertools
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.integration.instance import GET_MAP, Answer, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)
_serial = itertools.count()
Launch = Callable[..., Instance]


def sleep_path(seconds: float, project: str = "world") -> str:
    """Each is another one, so that none shares the answer of another."""
    return ows_path(project, SERVICE="PROBE", REQUEST="sleep", VALUE=str(seconds), N=str(next(_serial)))


class Asking:
    """A request in the background."""

    def __init__(self, instance: Instance, target: str, headers: dict[str, str] | None = None) -> None:
        self.answer: Answer | None = None
        self._ask = lambda: instance.request("GET", target, headers=headers)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.answer = self._ask()
        self.answered_at = time.monotonic()

    def wait(self) -> Answer:
        self._thread.join(60)
        assert self.answer is not None
        return self.answer


@pytest.fixture
def single(launch: Launch, projects: Path) -> Instance:
    """One worker and a queue of two; the probe plugin can keep it busy."""
    settings = (f"server.pluginpath={PLUGINS}", "zmq.maxqueue=2", "zmq.timeout=2500")
    more = [word for setting in settings for word in ("--set", setting)]
    return launch("--rootdir", str(projects), "-w", "1", *more)


def busy(instance: Instance) -> bool:
    return bool(instance.ctl_json("status")["workers"]["busy"] == 1)


def waiting(instance: Instance) -> int:
    return int(instance.ctl_json("status")["queue"]["waiting"])


def test_a_full_queue_is_503_with_retry_after(single: Instance) -> None:
    first = Asking(single, sleep_path(1.2))
    wait_for("the worker is busy", lambda: busy(single))
    others = [Asking(single, TILE), Asking(single, TILE)]
    wait_for("two wait", lambda: waiting(single) == 2)
    refused = single.get(TILE)
    assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert "ServiceException" in refused.text
    assert [asking.wait().status for asking in (first, *others)] == [200, 200, 200]


def test_waiting_too_long_is_504(single: Instance) -> None:
    first = Asking(single, sleep_path(4))
    wait_for("the worker is busy", lambda: busy(single))
    assert single.get(TILE).status == 504
    assert first.wait().status == 200


def test_a_client_that_leaves_gives_up_its_place(single: Instance) -> None:
    first = Asking(single, sleep_path(1))
    wait_for("the worker is busy", lambda: busy(single))
    with socket.create_connection(("127.0.0.1", single.port)) as leaving:
        leaving.sendall(f"GET {TILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for("it waits", lambda: waiting(single) == 1)
    wait_for("its place is free", lambda: waiting(single) == 0)
    assert first.wait().status == 200


def test_a_client_that_leaves_in_mid_answer_harms_nobody(single: Instance) -> None:
    target = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="2000")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", single.port)) as leaving:
            leaving.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert leaving.recv(1000).startswith(b"HTTP/1.1 200")
    assert single.get(TILE).status == 200
    assert "Uncaught" not in single.log_text
    assert single.ctl_json("status")["counters"]["crashes"] == 0


# So large that the word to pause reaches the worker before it is through.
STREAM = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="20000")
STREAMED = 20000 * 100 * 100


def _start_reading(instance: Instance) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", instance.port), timeout=60)
    client.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert client.recv(1).startswith(b"H")
    return client


def _stands_still(instance: Instance) -> bool:
    """The worker has a request and uses no processor time."""
    (worker,) = [psutil.Process(row["pid"]) for row in instance.workers()]
    before = worker.cpu_times()
    return busy(instance) and busy(instance) and worker.cpu_times() == before


def test_a_slow_client_does_not_hold_the_worker(single: Instance) -> None:
    with _start_reading(single):
        assert single.get(TILE).status == 200
        assert not busy(single)


def test_a_client_slower_than_all_room_holds_the_worker_and_still_gets_all(
    launch: Launch, projects: Path
) -> None:
    settings = (f"server.pluginpath={PLUGINS}", "server.spool_memory=64K", "server.spool_file=256K")
    more = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-w", "1", *more)
    with _start_reading(instance) as client:
        wait_for("the worker pauses", lambda: _stands_still(instance))
        received = 0
        while piece := client.recv(1 << 20):
            received += len(piece)
    assert received > STREAMED
    assert instance.get(TILE).status == 200


def test_a_held_worker_is_free_when_its_client_leaves(launch: Launch, projects: Path) -> None:
    settings = (f"server.pluginpath={PLUGINS}", "server.spool_memory=64K", "server.spool_file=256K")
    more = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-w", "1", *more)
    (before,) = [row["pid"] for row in instance.workers()]
    with _start_reading(instance):
        wait_for("the worker pauses", lambda: _stands_still(instance))
    assert instance.get(TILE).status == 200
    assert [row["pid"] for row in instance.workers()] == [before]


def test_one_project_does_not_starve_another(launch: Launch, projects: Path) -> None:
    shutil.copy(projects / "world.qgs", projects / "other.qgs")
    instance = launch("--rootdir", str(projects), "-w", "1", "--set", f"server.pluginpath={PLUGINS}")
    assert instance.get(ows_path("other", **GET_MAP)).status == 200
    crowd = [Asking(instance, sleep_path(0.2)) for _ in range(8)]
    wait_for("a crowd waits", lambda: waiting(instance) >= 6)
    lone = Asking(instance, ows_path("other", **GET_MAP))
    assert lone.wait().status == 200
    for asking in crowd:
        assert asking.wait().status == 200
    before_it = sum(asking.answered_at < lone.answered_at for asking in crowd)
    assert before_it <= 4, f"{before_it} of 8 were served first although its turn was next"


def test_one_client_does_not_starve_another(launch: Launch, projects: Path) -> None:
    """Both ask for one project; by address they have equal parts of the time."""
    settings = (f"server.pluginpath={PLUGINS}", "fairness.key=client", "server.http_proxy=yes")
    more = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-w", "1", *more)
    crowd = [Asking(instance, sleep_path(0.2)) for _ in range(8)]
    wait_for("a crowd waits", lambda: waiting(instance) >= 6)
    lone = Asking(instance, TILE, headers={"X-Forwarded-For": "192.0.2.7"})
    assert lone.wait().status == 200
    for asking in crowd:
        assert asking.wait().status == 200
    before_it = sum(asking.answered_at < lone.answered_at for asking in crowd)
    assert before_it <= 5, f"{before_it} of 8 were served first although its turn was next"


def test_a_write_that_killed_its_worker_is_not_tried_again(single: Instance) -> None:
    target = ows_path(SERVICE="PROBE", REQUEST="abort")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = single.request("POST", target, b"a=b", headers)
    assert answer.status == 500
    assert single.ctl_json("status")["counters"]["retries"] == 0


def test_head_of_a_missing_project_costs_no_worker(single: Instance) -> None:
    (before,) = [row["pid"] for row in single.workers()]
    assert single.request("HEAD", ows_path("nowhere", REQUEST="GetMap")).status == 404
    assert [row["pid"] for row in single.workers()] == [before]


def test_only_so_many_projects_stay_open(launch: Launch, projects: Path) -> None:
    for number in range(3):
        shutil.copy(projects / "world.qgs", projects / f"p{number}.qgs")
    settings = ("cache.size=2", "logging.level=debug")
    more = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-w", "1", *more)
    for name in ("p0", "p1", "p2", "p0"):
        assert instance.get(ows_path(name, **GET_MAP)).status == 200
    wait_for(
        "both have been closed", lambda: "p0 closed" in instance.log_text and "p1 closed" in instance.log_text
    )
    assert instance.log_text.count(" p0 loaded in ") == 2


def test_access_log_has_a_line_for_each_request(launch: Launch, projects: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    instance = launch("--rootdir", str(projects), "--set", f"logging.access={log}")
    identity = instance.get(TILE).headers["X-Request-Id"]
    line = wait_for("the line", lambda: _line_of(log, identity))
    assert '"GET /ows/?MAP=world&' in line
    assert " 200 " in line
    for word in ("queue=", "load=", "render=", "worker="):
        assert word in line
    log.rename(tmp_path / "old.log")
    instance.signal("USR1")
    # The first may come before the signal has reached the http child.
    wait_for("a new file", lambda: instance.get("/ping") and log.exists() and "/ping" in log.read_text())


def _line_of(log: Path, identity: str) -> str:
    lines = log.read_text().splitlines() if log.exists() else []
    return next((line for line in lines if identity in line), "")
