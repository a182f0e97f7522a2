# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a project that hangs: it is given up in time; other projects and its old version are served."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.integration.silence import hung_project
from tests.waiting import wait_for

TILE = ows_path(**GET_MAP)
Launch = Callable[..., Instance]


def start(launch: Launch, projects: Path, *settings: str) -> Instance:
    words = [word for setting in settings for word in ("--set", setting)]
    return launch("--rootdir", str(projects), "-w", "2", "--set", "cache.check_interval=3600", *words)


def test_what_hangs_while_it_is_loaded_is_given_up(
    launch: Launch, projects: Path, silent_database: int
) -> None:
    hung_project(projects, silent_database)
    instance = start(launch, projects, "cache.load_timeout=1", "supervision.kill_grace=0.2")
    with Crowd(instance, 2, TILE) as crowd:
        told = instance.ctl("load", "hung", check=False)
        assert (told.returncode, "over the deadline" in told.stderr + told.stdout) == (1, True), told
        # A new version that hangs: tried by two workers, then the old one stays.
        hung_project(projects, silent_database, "world")
        (record,) = instance.ctl_json("reload", "world", check=False)
        assert record["status"] == "kept-old", record
        assert "over the deadline" in record["error"]
        crowd.wait_answers(10)
    assert crowd.bad == []


def test_a_worker_stopped_while_it_loads_is_not_waited_for(
    launch: Launch, projects: Path, silent_database: int
) -> None:
    hung_project(projects, silent_database)
    instance = start(launch, projects, "cache.load_timeout=60", "supervision.beat_timeout=30")
    loads: list[str] = []
    ask = threading.Thread(target=lambda: loads.append(instance.ctl("load", "hung", check=False).stderr))
    ask.start()
    (busy,) = wait_for("it is loaded", lambda: [row for row in instance.workers() if row["state"] == "busy"])
    os.kill(busy["pid"], signal.SIGSTOP)
    ask.join(20)
    assert not ask.is_alive(), "the worker is still waited for"
    assert "SIGSTOP" in loads[0]
    assert instance.get(TILE).status == 200
