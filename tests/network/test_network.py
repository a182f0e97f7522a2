# SPDX-License-Identifier: GPL-2.0-or-later
"""A proxy and three worker hosts, each with a network and a clock of its own: what clients see of trouble.

Clients in a closed loop check every byte. NETWORK_SECONDS sets how long each kind of trouble goes on; without
it there is only a short form.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qgsd import cluster_key
from tests.integration.instance import GET_MAP, Crowd, Instance, ows_path
from tests.network import hosts
from tests.network.hosts import PROXY, Host, Network
from tests.waiting import wait_for

SECONDS = float(os.environ.get("NETWORK_SECONDS", "0"))
TILE = ows_path(**GET_MAP)
NAMES = ("north", "east", "south")
HOUR = 3600
# What is promised: a machine that is dead or cut off is noticed within so many seconds.
NOTICED = 5.0
# One request may have waited for that, then been tried again.
LONGEST = NOTICED + 3.0

pytestmark = pytest.mark.timeout(120 + 20 * SECONDS)


@dataclass
class World:
    """The proxy and its hosts."""

    network: Network
    front: Instance
    start: Callable[[str], Host]
    hosts: dict[str, Host] = field(default_factory=dict)

    def begin(self, name: str) -> None:
        self.hosts[name] = self.start(name)

    def joined(self, *names: str) -> bool:
        status = self.front.ctl_json("status")
        there = [row for row in status["machines"] if row["workers"]["ready"]]
        return {row["machine"] for row in there} >= set(names)

    def wait_joined(self, *names: str) -> None:
        wait_for(f"{', '.join(names)} are there", lambda: self.joined(*names), 60)
        workers = len(self.front.ctl_json("status")["machines"])
        wait_for("their workers, too", lambda: self.at_the_queue() >= workers, 30)

    def at_the_queue(self) -> int:
        return int(self.front.ctl_json("status")["worker_time"]["joined"])

    def told(self, event: str, name: str) -> int:
        """How often an event about a machine was told."""
        return sum(told["details"]["machine"] == name for told in self.front.events(event))


@pytest.fixture
def world(tmp_path: Path, projects: Path) -> Iterator[World]:
    if missing := hosts.not_permitted():
        pytest.skip(missing)
    key = tmp_path / "cluster.key"
    cluster_key.write_new(key)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hosts.own_network())
        network = Network(tmp_path, NAMES)
        stack.callback(network.close)
        address = ("--proxy", "--set", f"zmq.bindaddr=tcp://{PROXY}:18080", "--set", f"zmq.key_file={key}")
        front = Instance(tmp_path / "proxy", "run", address)
        left: list[str] = []
        stack.callback(lambda: left.extend(front.end()))
        starts = iter(range(1000))

        def start(name: str) -> Host:
            arguments = ("--host", "proxy", "--rootdir", str(projects), "-w", "1", "--key-file", str(key))
            clock = (NAMES.index(name) - 1) * 7 * HOUR
            host = Host(network, name, arguments, clock=clock if clock > 0 else 0, run=next(starts))
            stack.callback(lambda: left.extend(host.end()))
            return host

        made = World(network, front, start)
        for name in NAMES:
            made.begin(name)
        front.wait_serving()
        made.wait_joined(*NAMES)
        yield made
    assert not left, f"left behind: {left}"


def _lost_in_time(world: World, name: str, since: float, before: int = 0) -> None:
    wait_for("it is noticed", lambda: world.told("machine.lost", name) > before, 15)
    took = time.monotonic() - since
    assert took < NOTICED + 0.5, f"noticed after {took:.1f} s"


def test_hosts_die_are_cut_off_and_come_back_and_no_client_sees_it(world: World) -> None:
    with Crowd(world.front, 4, TILE) as crowd:
        crowd.wait_answers(20)
        began = time.monotonic()
        world.hosts["north"].die()
        _lost_in_time(world, "north", began)
        world.network.cut("east")
        _lost_in_time(world, "east", time.monotonic())
        crowd.wait_answers(20)
        world.network.mend("east")
        wait_for("it is back", lambda: world.told("machine.joined", "east") == 2)
        world.begin("north")
        wait_for("that too", lambda: world.told("machine.joined", "north") == 2)
        crowd.wait_answers(20)
    assert crowd.bad == []
    assert crowd.longest < LONGEST
    status = world.front.ctl_json("status")
    assert status["counters"]["retries"] > 0
    assert status["counters"]["errors"] == 0
