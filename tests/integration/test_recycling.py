# SPDX-License-Identifier: GPL-2.0-or-later
"""Workers that leak, stop, burn or grow old are replaced, and no client notices."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)
Launch = Callable[..., Instance]


def start(launch: Launch, projects: Path, *settings: str, workers: int = 2) -> Instance:
    words = [word for setting in settings for word in ("--set", setting)]
    plugins = ("--set", f"server.pluginpath={PLUGINS}")
    return launch("--rootdir", str(projects), "-w", str(workers), *plugins, *words)


def events(instance: Instance, name: str) -> list[dict[str, Any]]:
    lines = instance.ctl("--json", "events").stdout.splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def test_a_leaking_worker_is_replaced_before_it_harms(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.memory_limit=250M")
    with Crowd(instance, 2, TILE) as crowd:
        for _ in range(16):
            assert instance.ows(SERVICE="PROBE", REQUEST="hog", VALUE="50").status == 200
        told = wait_for("a worker is retired", lambda: events(instance, "worker.retired"))
        crowd.wait_answers(20)
    assert crowd.bad == []
    assert "MiB, the limit is 250 MiB" in told[0]["reason"]
    wait_for("it has gone", lambda: events(instance, "worker.drained"))


def test_far_over_the_limit_it_is_killed(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.memory_hard_limit=400M")
    # Killed in mid-request, or just after it: the answer may be either.
    assert instance.ows(SERVICE="PROBE", REQUEST="hog", VALUE="600").status in (200, 500)
    told = wait_for("a worker is killed", lambda: events(instance, "worker.killed"))
    assert "the hard limit is 400 MiB" in told[0]["reason"]
    wait_for("two workers", lambda: instance.ctl_json("status")["workers"]["ready"] == 2)


def test_above_the_high_water_mark_the_largest_goes(launch: Launch, projects: Path) -> None:
    """Any machine is above a mark of a thousandth."""
    instance = start(launch, projects, "server.memory_high_water_mark=0.001")
    told = wait_for("a worker is retired", lambda: events(instance, "worker.retired"))
    assert "the mark is 0 %" in told[0]["reason"]
    assert instance.get(TILE).status == 200


def test_a_stopped_worker_is_ended_and_its_request_served(launch: Launch, projects: Path) -> None:
    instance = start(
        launch, projects, "supervision.beat_timeout=1", "server.timeout=4", "cache.load_timeout=4"
    )
    with Crowd(instance, 2, TILE) as crowd:
        crowd.wait_answers(5)
        # Stopped while it has a request, or just before it gets one: both happen.
        os.kill(instance.workers()[0]["pid"], signal.SIGSTOP)
        os.kill(instance.workers()[1]["pid"], signal.SIGSTOP)
        try:
            wait_for("both are ended", lambda: len(events(instance, "worker.killed")) == 2, 20)
        except AssertionError:
            print(
                instance.ctl("events").stdout,
                instance.ctl("ps").stdout,
                instance.ctl("projects").stdout,
                crowd.good,
                crowd.bad,
            )
            raise
        crowd.wait_answers(20)
    assert all(problem.startswith("504") for problem in crowd.bad)
    assert len(crowd.bad) <= 2, "only a stalled request itself may fail"


def test_workers_are_replaced_after_so_many_requests(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.max_requests=10")
    before = {row["pid"] for row in instance.workers()}
    with Crowd(instance, 4, TILE) as crowd:
        wait_for("all are others", lambda: not before & {row["pid"] for row in instance.workers()}, 60)
        crowd.wait_answers(10)
    assert crowd.bad == []
    assert "the limit is 10" in events(instance, "worker.retired")[0]["reason"]


def test_workers_are_replaced_when_they_are_old(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.max_age=2")
    assert (
        "the limit is 2 s" in wait_for("one is old", lambda: events(instance, "worker.retired"))[0]["reason"]
    )


def test_an_idle_worker_that_burns_is_replaced(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.burn_timeout=1", workers=1)
    assert instance.ows(SERVICE="PROBE", REQUEST="burn", VALUE="60").status == 200
    told = wait_for("it is retired", lambda: events(instance, "worker.retired"), 60)
    assert "idle but has used a processor" in told[0]["reason"]


def test_a_request_that_does_nothing_can_be_ended_early(launch: Launch, projects: Path) -> None:
    instance = start(launch, projects, "supervision.stall_timeout=1", "server.timeout=60", workers=1)
    answer = instance.ows(SERVICE="PROBE", REQUEST="sleep", VALUE="50")
    assert answer.status == 500
    assert "no processor time" in events(instance, "worker.killed")[0]["reason"]


def test_qgis_stops_at_the_deadline_where_it_can_be_asked(launch: Launch, projects: Path) -> None:
    """From QGIS 3.36 on the worker lives on; an older one is ended."""
    instance = start(launch, projects, "server.timeout=0.3", "supervision.kill_grace=20", workers=1)
    if tuple(map(int, instance.ctl_json("status")["qgis_version"].split("-")[0].split(".")[:2])) < (3, 36):
        pytest.skip("this QGIS cannot be asked to stop")
    (before,) = [row["pid"] for row in instance.workers()]
    wait_for("the project is open", lambda: instance.get(TILE).status == 200)
    world = "-20000000,-20000000,20000000,20000000"
    assert instance.ows(**GET_MAP | {"BBOX": world, "WIDTH": "7900", "HEIGHT": "7900"}).status == 504
    wait_for("it was asked", lambda: events(instance, "request.cancelled"))
    wait_for("the worker is free", lambda: instance.get(TILE).status == 200)
    assert [row["pid"] for row in instance.workers()] == [before]
