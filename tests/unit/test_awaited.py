# SPDX-License-Identifier: GPL-2.0-or-later
"""What long commands say that they are waiting for."""

from __future__ import annotations

from dataclasses import dataclass

from qgsd.master import awaited


@dataclass
class Child:
    name: str
    phase: str = "ready"
    generation: int = 1


def test_scaling_up_waits_for_those_that_start_and_down_for_those_that_finish() -> None:
    ready, starting, leaving = Child("worker 0"), Child("worker 1", "starting"), Child("worker 2", "draining")
    assert awaited.scaling([ready, starting], 2) == {
        "message": "1 of 2 workers ready; waiting for worker 1", "done": 1, "total": 2,
    }  # fmt: skip
    down = awaited.scaling([ready, leaving], 1)
    assert down["message"] == "1 of 1 workers ready; what runs in worker 2 is finished first"
    assert awaited.scaling([ready], 3)["message"] == "1 of 3 workers ready"


def test_a_restart_waits_for_each_child_by_name_once() -> None:
    old, new = Child("worker 1"), Child("worker 1", "starting", 2)
    report = awaited.restarting([Child("template", "ready", 2), old, new, Child("http 0")], 2, 3)
    assert report == {
        "message": "1 of 3 processes replaced; waiting for worker 1, http 0", "done": 1, "total": 3,
    }  # fmt: skip
    assert awaited.restarting([Child("template", "ready", 2)], 2, 1)["message"] == "1 of 1 processes replaced"


def test_orders_about_projects_name_a_few_of_those_that_are_left() -> None:
    assert "total" not in awaited.projects(None, 0)
    assert awaited.projects({"e", "d", "c", "b"}, 2) == {
        "message": "2 of 6 projects done; waiting for b, c, d and 1 more", "done": 2, "total": 6,
    }  # fmt: skip
