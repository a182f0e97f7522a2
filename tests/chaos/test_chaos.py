# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients in a closed loop check every byte while faults strike: none may see one.

CHAOS_SECONDS sets how long each fault goes on (`make chaos`: 60), CHAOS_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.fault import Fault, Target
from tests.chaos.faults import FAULTS
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.integration.silence import hung_project
from tests.waiting import wait_for

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1.5"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.randrange(1 << 30))))
PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)
# Below this a time is luck: too few answers.
_SECONDS_TO_JUDGE_SPEED = 30.0


@pytest.mark.timeout(240 + 3 * SECONDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_no_client_sees(
    fault: Fault,
    launch: Callable[..., Instance],
    projects: Path,
    tmp_path: Path,
    silent_database: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing := fault.missing():
        pytest.skip(missing)
    hung_project(projects, silent_database)
    settings = [f"server.pluginpath={PLUGINS}", "logging.access=off", *fault.settings]
    words = [word for setting in settings for word in ("--set", setting)]
    with contextlib.ExitStack() as surroundings:
        place = surroundings.enter_context(fault.around(tmp_path))
        instance = launch(
            "--rootdir", str(projects), "-w", "2", *words, folder=place.folder, env=place.environment
        )
        surroundings.callback(instance.end)
        calm = _calm(instance)
        with contextlib.ExitStack() as stack:
            target = Target(instance, random.Random(SEED), projects, place, stack)
            fault.prepare(target)
            crowd = _crowd_under(fault, target)
        _judge(fault, calm, crowd, capsys, instance.log_text)
        assert target.struck, "no fault has struck"
        wait_for("all workers again", lambda: _all_ready(instance), 60)
        assert not instance.end()


def _all_ready(instance: Instance) -> bool:
    workers = instance.ctl_json("status")["workers"]
    return bool(workers["ready"] == workers["target"] >= 2)


def _calm(instance: Instance) -> Crowd:
    """What is normal, once both workers have the project open."""
    with Crowd(instance, 4, TILE) as crowd:
        crowd.wait_answers(10)
    with Crowd(instance, 4, TILE) as crowd:
        time.sleep(min(10.0, SECONDS / 2))
    return crowd


def _crowd_under(fault: Fault, target: Target) -> Crowd:
    with Crowd(target.instance, 4, TILE) as crowd:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            fault.strike(target)
            target.struck += 1
            time.sleep(fault.every)
        crowd.wait_answers(10)
    return crowd


def _judge(fault: Fault, calm: Crowd, crowd: Crowd, capsys: pytest.CaptureFixture[str], log: str) -> None:
    usual = crowd.slow(0.99) - calm.slow(0.99)
    with capsys.disabled():
        print(
            f"\n| {fault.name} | {crowd.good} answers | {len(crowd.bad)} failed | "
            f"slowest {1000 * crowd.longest:.0f} ms ({1000 * (crowd.longest - calm.longest):+.0f}), "
            f"slowest hundredth {1000 * crowd.slow(0.99):.0f} ms ({1000 * usual:+.0f}) | seed {SEED} |"
        )
    told = [line for line in log.splitlines() if "qgsd.events" in line or " ERROR " in line]
    assert len(crowd.bad) <= fault.excused, "\n".join([*crowd.bad[:3], *told[-150:]])
    if SECONDS >= _SECONDS_TO_JUDGE_SPEED:
        assert usual <= fault.slower, f"answers are {1000 * usual:.0f} ms slower than without the fault"
