# SPDX-License-Identifier: GPL-2.0-or-later
"""A long steady load with a fault now and then: nothing may grow, and no client may see a fault.

`make soak`: SOAK_SECONDS (1800) long; SOAK_SEED repeats a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.soak.growth import growth
from tests.soak.samples import TOLERANCES, Measured
from tests.waiting import wait_for

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
SEED = int(os.environ.get("SOAK_SEED", str(random.randrange(1 << 30))))
PLUGINS = Path(__file__).parents[1] / "plugins"
_PAUSE = 5.0
_TELLING = re.compile(r"request\.|killed|retired|drained|backoff|failed|project\.")
# Each with keep-alive or not: maps, a document, features, an answer of many pieces, an error, a page.
_LOAD = [
    (ows_path(**GET_MAP), True),
    (ows_path(**GET_MAP), False),
    (ows_path(SERVICE="WMS", REQUEST="GetCapabilities"), False),
    (ows_path(SERVICE="WFS", REQUEST="GetFeature", TYPENAME="places", OUTPUTFORMAT="geojson"), True),
    (ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="200"), True),
    ("/", False),
]


def _kill_worker(instance: Instance, chance: random.Random) -> None:
    workers = [p for p in instance.family() if p.cmdline() and p.cmdline()[0].startswith("qgsd: worker")]
    os.kill(chance.choice(workers).pid, signal.SIGKILL)


def _reload(instance: Instance, _: random.Random) -> None:
    instance.signal("HUP")


def _scale(instance: Instance, _: random.Random) -> None:
    for workers in ("4", "2"):
        instance.ctl("scale", workers)


def _leave_in_mid_answer(instance: Instance, chance: random.Random) -> None:
    import socket

    path = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="2000")
    with socket.create_connection(("127.0.0.1", instance.port), timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(chance.randrange(1, 100_000))


_FAULTS = (_kill_worker, _reload, _scale, _leave_in_mid_answer)


@pytest.mark.skipif(not SECONDS, reason="it takes long: make soak")
@pytest.mark.timeout(600 + 2 * SECONDS)
def test_nothing_grows(
    launch: Callable[..., Instance], projects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (f"server.pluginpath={PLUGINS}", "logging.access=off", "supervision.max_requests=2000")
    words = [word for setting in settings for word in ("--set", setting)]
    instance = launch("--rootdir", str(projects), "-w", "2", *words)
    measured, chance = Measured(instance), random.Random(SEED)
    with contextlib.ExitStack() as stack:
        load = [stack.enter_context(Crowd(instance, 1, target, keep_alive=keep)) for target, keep in _LOAD]
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            chance.choice(_FAULTS)(instance, chance)
            time.sleep(_PAUSE)
            wait_for("two workers", lambda: _is_settled(instance), 60)
            measured.take(time.monotonic() - began)
    with capsys.disabled():
        print(f"\n{sum(crowd.good for crowd in load)} answers, seed {SEED}\n" + "\n".join(_table(measured)))
    _judge_answers(load, instance)
    grown = [line for line in _table(measured) if line.endswith("GROWS")]
    assert not grown, "\n".join(["these grow without end:", *grown])


def _judge_answers(load: list[Crowd], instance: Instance) -> None:
    """All are good but those that had begun when their worker was killed: nobody can complete them."""
    bad = [problem for crowd in load for problem in crowd.bad]
    kills = instance.log_text.count("worker.crashed")
    cut = [problem for problem in bad if problem.startswith("IncompleteRead")]
    told = [line for line in instance.log_text.splitlines() if _TELLING.search(line)]
    assert len(bad) == len(cut) <= kills, "\n".join([*bad[:10], *told[-100:]])


def _is_settled(instance: Instance) -> bool:
    """As many processes as there should be: no successor beside its predecessor."""
    rows = instance.ctl_json("ps")
    roles = sorted(row["role"] for row in rows if row["state"] in ("idle", "busy"))
    return len(rows) == 6 and roles == ["dispatcher", "http", "master", "template", "worker", "worker"]


def _table(measured: Measured) -> list[str]:
    lines = []
    for name, points in measured.rows.items():
        found = growth(points)
        verdict = "GROWS" if found.exceeds(TOLERANCES[name.split()[-1]]) else "steady"
        lines.append(f"| {name} | at first {found.level:.1f} | rise {found.rise:+.2f} | {verdict}")
    return lines
