# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing an instance while it serves: not one answer may fail or be cut short."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.waiting import wait_for

Launch = Callable[..., Instance]
TILE = ows_path(**GET_MAP)


def ready_workers(instance: Instance) -> int:
    return sum(row["state"] in ("idle", "busy") for row in instance.workers())


def generations(instance: Instance) -> set[int]:
    return {row["generation"] for row in instance.ctl_json("ps")}


def test_scale_reload_restart_and_signals_under_load(launch: Launch, projects: Path) -> None:
    daemon = launch("--rootdir", str(projects), "-j", "2", command="start")
    with Crowd(daemon, 4, TILE) as crowd:
        for count in ("8", "2"):
            assert daemon.ctl_json("scale", count)["ready"] == int(count)
            assert ready_workers(daemon) == int(count)
            crowd.wait_answers(20)
        assert {row["status"] for row in daemon.ctl_json("reload")} <= {"unchanged"}
        generation = daemon.ctl_json("restart")["generation"]
        assert generations(daemon) == {generation}
        crowd.wait_answers(20)
        daemon.signal("HUP")
        crowd.wait_answers(20)
        daemon.signal("USR2")
        wait_for("a rolling restart", lambda: generations(daemon) == {generation + 1})
        crowd.wait_answers(20)
    assert crowd.bad == []
    assert daemon.ctl_json("status")["counters"]["errors"] == 0


def test_connections_of_their_own_survive_a_restart(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    with Crowd(instance, 4, TILE, keep_alive=False) as crowd:
        instance.ctl("restart")
        crowd.wait_answers(20)
    assert crowd.bad == []


def test_an_idle_keep_alive_connection_survives_a_restart(launch: Launch, projects: Path) -> None:
    """The http child that leaves answers once more on it and says that it closes."""
    import http.client

    instance = launch("--rootdir", str(projects))
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=30)
    connection.request("GET", "/ping")
    connection.getresponse().read()
    (before,) = [row["pid"] for row in instance.ctl_json("ps") if row["role"] == "http"]
    instance.ctl("restart", "--no-wait")
    wait_for("the http child is leaving", lambda: _draining(instance, before))
    connection.request("GET", "/ping")
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection")) == (200, "close")
    connection.close()


def _draining(instance: Instance, pid: int) -> bool:
    return any(row["pid"] == pid and row["state"] == "draining" for row in instance.ctl_json("ps"))


def test_scale_takes_less_than_two_seconds(launch: Launch, projects: Path) -> None:
    from qgsd.control import Client

    instance = launch("--rootdir", str(projects))
    with Client(instance.control) as client:
        client.call("ping")
        began = time.monotonic()
        assert client.call("scale", workers=8)["ready"] == 8
        took = time.monotonic() - began
    # The figure of the issue is 2 s on an idle machine; the bound here only catches another order.
    assert took < 10, took


def test_ttin_and_ttou(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    instance.signal("TTIN")
    wait_for("three workers", lambda: ready_workers(instance) == 3)
    instance.signal("TTOU")
    wait_for("two workers", lambda: len(instance.workers()) == 2)


def test_kill_replaces_the_worker(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    before = {row["slot"]: row["pid"] for row in instance.workers()}
    assert instance.ctl_json("kill", "0")["slot"] == 0
    after = {row["slot"]: row["pid"] for row in instance.workers()}
    assert (set(after), after[0] != before[0], after[1]) == ({0, 1}, True, before[1])


def test_a_crash_is_told_and_repaired(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    (victim, *_) = instance.workers()
    os.kill(victim["pid"], 11)

    def told() -> list[str]:
        return [e["reason"] for e in _events(instance) if e["event"] == "worker.crashed"]

    (reason,) = wait_for("the crash is an event", told)
    assert "SIGSEGV" in reason
    wait_for("two workers", lambda: ready_workers(instance) == 2)
    assert instance.get(TILE).status == 200


def _events(instance: Instance) -> list[dict[str, object]]:
    import json

    return [json.loads(line) for line in instance.ctl("--json", "events").stdout.splitlines()]


def test_a_crash_in_mid_request_is_not_seen_by_the_client(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects), "--workers", "2")
    with Crowd(instance, 4, TILE) as crowd:
        for _ in range(5):
            wait_for("a busy worker", lambda: _kill_a_busy_worker(instance))
            crowd.wait_answers(10)
    assert crowd.bad == []


def _kill_a_busy_worker(instance: Instance) -> bool:
    for row in instance.workers():
        if row["state"] == "busy":
            try:
                os.kill(row["pid"], 9)
            except ProcessLookupError:
                return False
            return True
    return False


def test_graceful_stop_answers_what_runs(launch: Launch, projects: Path) -> None:
    instance = launch("--rootdir", str(projects))
    with Crowd(instance, 4, TILE, keep_alive=False) as crowd:
        crowd.wait_answers(20)
        instance.ctl("stop")
        crowd.stop()
    assert instance.wait_end() == 0
    assert all("refused" in problem for problem in crowd.bad), crowd.bad[:5]


def test_log_level_changes_live(launch: Launch, projects: Path) -> None:
    instance = launch(
        "--rootdir", str(projects), "--logging", "warning", "--set", "logging.access=off", wait=False
    )
    wait_for("it is there", lambda: instance.ctl("ping", check=False).returncode == 0)
    assert instance.ctl_json("log-level", "debug")["level"] == "debug"
    instance.ctl("scale", "3")
    wait_for("debug lines", lambda: " DEBUG " in instance.log_text)


def test_hup_reads_the_configuration_again(launch: Launch, projects: Path) -> None:
    config = f"[server]\nworkers=1\n[cache]\nrootdir={projects}\n"
    instance = launch(config=config)
    ini = instance.folder / "q.ini"
    ini.write_text(config.replace("workers=1", "workers=3"))
    instance.signal("HUP")
    wait_for("three workers", lambda: ready_workers(instance) == 3)
    ini.write_text(config.replace("workers=1", "workers=many"))
    instance.signal("HUP")
    wait_for("the mistake is told", lambda: "q.ini:2: [server] workers" in instance.log_text)
    assert ready_workers(instance) == 3
    ini.write_text(config.replace("workers=1", "workers=3\nidentity=x"))
    refused = instance.ctl("reload", check=False)
    assert (refused.returncode, "identity" in refused.stderr) == (1, True)


def test_a_touched_trigger_replaces_all_workers(launch: Launch, projects: Path, tmp_path: Path) -> None:
    trigger = tmp_path / "restart"
    settings = (f"server.restartmon={trigger}", "server.restartmon_check_time=100")
    more = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), *more)
    before = {row["pid"] for row in instance.workers()}
    with Crowd(instance, 4, TILE) as crowd:
        trigger.touch()
        wait_for(
            "all workers are others", lambda: not before & {row["pid"] for row in instance.workers()}, 60
        )
        crowd.wait_answers(20)
    assert crowd.bad == []
    assert any(event["event"] == "restart.triggered" for event in _events(instance))
