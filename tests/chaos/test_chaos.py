# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients in a closed loop check every byte while faults strike: none may see one.

CHAOS_SECONDS sets how long each fault goes on (`make chaos`: 60), CHAOS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, Fault, Target
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.waiting import wait_for

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1.5"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.randrange(1 << 30))))
PLUGINS = Path(__file__).parents[1] / "plugins"
TILE = ows_path(**GET_MAP)


@pytest.fixture
def silent_database() -> Iterator[int]:
    """A port where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield int(listener.getsockname()[1])


def hung_project(projects: Path, port: int) -> None:
    """The example with its places in a PostgreSQL that hangs."""
    text = (projects / "world.qgs").read_text()
    source = (
        f"dbname='x' host=127.0.0.1 port={port} user='u' password='p' key='fid' "
        'type=Point table="public"."places" (geom)'
    )
    layer = re.compile(r"<datasource>[^<]*layername=places</datasource>")
    text, found = layer.subn(f"<datasource>{source}</datasource>", text)
    assert found, "the example has no layer of places"
    text = re.sub(
        r'(places" \(geom\)</datasource>.*?<provider[^>]*>)ogr(</provider>)',
        r"\1postgres\2",
        text,
        flags=re.DOTALL,
    )
    (projects / "hung.qgs").write_text(text)


@pytest.mark.timeout(240 + 3 * SECONDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_no_client_sees(
    fault: Fault,
    launch: Callable[..., Instance],
    projects: Path,
    silent_database: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hung_project(projects, silent_database)
    settings = [word for setting in fault.settings for word in ("--set", setting)]
    plugins = ("--set", f"server.pluginpath={PLUGINS}", "--set", "logging.access=off")
    instance = launch("--rootdir", str(projects), "-w", "2", *plugins, *settings)
    with Crowd(instance, 4, TILE) as calm:
        time.sleep(min(5.0, SECONDS / 2))
    with Crowd(instance, 4, TILE) as crowd:
        target = Target(instance, random.Random(SEED))
        _strike(fault, target)
        crowd.wait_answers(10)
    for client in target.sockets or []:
        client.close()
    slower = 1000 * (crowd.longest - calm.longest)
    with capsys.disabled():
        print(
            f"\n| {fault.name} | {crowd.good} answers | {len(crowd.bad)} failed | "
            f"slowest {1000 * crowd.longest:.0f} ms, {slower:+.0f} ms | seed {SEED} |"
        )
    assert target.struck, "no fault has struck"
    assert len(crowd.bad) <= fault.excused, crowd.bad[:3]
    wait_for("two workers again", lambda: instance.ctl_json("status")["workers"]["ready"] == 2, 60)


def _strike(fault: Fault, target: Target) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        fault.strike(target)
        target.struck += 1
        time.sleep(fault.every)
