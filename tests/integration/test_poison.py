# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that kill, projects that hang: kept away from the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.integration.test_queue import Asking
from tests.waiting import wait_for

PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)
Launch = Callable[..., Instance]


@pytest.fixture
def probed(launch: Launch, projects: Path) -> Instance:
    shutil.copy(projects / "world.qgs", projects / "hung.qgs")
    settings = (f"server.pluginpath={PLUGINS}", "supervision.breaker_pause=1")
    more = [word for setting in settings for word in ("--set", setting)]
    return launch("--rootdir", str(projects), "-w", "2", "--timeout", "2", *more)


def crashes(instance: Instance) -> int:
    return int(instance.ctl_json("status")["counters"]["crashes"])


def test_poison_is_run_twice_and_then_kept_away(probed: Instance) -> None:
    for _ in range(4):
        assert probed.ows(SERVICE="PROBE", REQUEST="abort").status == 500
    assert crashes(probed) == 2
    (entry,) = probed.ctl_json("quarantine")
    assert (entry["project"], "REQUEST=abort" in entry["request"]) == ("world", True)
    assert "SIGABRT" in entry["reason"]
    assert entry["fingerprint"] in probed.ctl("quarantine").stdout
    assert probed.get(TILE).status == 200


def test_a_posted_request_can_be_repeated_from_quarantine(probed: Instance) -> None:
    form, kind = b"SERVICE=PROBE&REQUEST=abort&VALUE=" + b"x" * 20_000, "application/x-www-form-urlencoded"
    # It might write, so it is not tried again by itself.
    for _ in range(2):
        assert probed.request("POST", "/ows/?MAP=world", form, {"Content-Type": kind}).status == 500
    (entry,) = probed.ctl_json("quarantine")
    told = entry["request"].split()[0], entry["content_type"], entry["length"]
    assert told == ("POST", kind, len(form))
    assert len(entry["body"]) >= 4096
    assert form.decode().startswith(entry["body"])
    shown = probed.ctl("quarantine").stdout
    assert "REQUEST=abort" in shown
    assert f"{len(form)} bytes in all" in shown.replace("\n", " ")


def test_quarantine_outlives_the_dispatcher_and_can_be_cleared(probed: Instance) -> None:
    assert probed.ows(SERVICE="PROBE", REQUEST="abort").status == 500
    before = probed.child("dispatcher").pid
    probed.ctl("kill", str(before))
    assert probed.child("dispatcher").pid != before
    assert probed.ows(SERVICE="PROBE", REQUEST="abort").status == 500
    assert crashes(probed) == 2
    assert probed.ctl_json("quarantine", "clear") == []
    assert probed.ows(SERVICE="PROBE", REQUEST="abort").status == 500
    wait_for("it was run again", lambda: crashes(probed) == 4)


def test_a_hanging_project_leaves_the_others_alone(probed: Instance) -> None:
    hang = ows_path("hung", SERVICE="PROBE", REQUEST="sleep", VALUE="30")
    with Crowd(probed, 2, TILE) as crowd:
        for _ in range(3):
            hanging = [Asking(probed, hang) for _ in range(4)]
            statuses = {asking.wait().status for asking in hanging}
            assert statuses <= {503, 504}
            crowd.wait_answers(5)
        told = probed.ctl("--json", "events").stdout
        assert "project.suspended" in told
        refused = probed.get(hang)
        assert (refused.status, int(refused.headers["Retry-After"]) >= 1) == (503, True)
    assert crowd.bad == []

    def recovered() -> bool:
        return probed.get(ows_path("hung", **GET_MAP)).status == 200

    wait_for("it is probed and taken back", recovered)
    assert "project.recovered" in probed.ctl("--json", "events").stdout


def test_killed_by_others_a_request_is_tried_again_and_again(launch: Launch, projects: Path) -> None:
    patient = launch("--rootdir", str(projects), "-w", "2", "--set", f"server.pluginpath={PLUGINS}")
    lone = Asking(patient, ows_path(SERVICE="PROBE", REQUEST="sleep", VALUE="3"))
    for _ in range(2):
        (busy,) = wait_for("it runs", lambda: [row for row in patient.workers() if row["state"] == "busy"])
        patient.ctl("kill", str(busy["pid"]))
    assert lone.wait().status == 200
    assert patient.ctl_json("quarantine") == []
