# SPDX-License-Identifier: GPL-2.0-or-later
"""The proxy and its three hosts, as the tests of the network suite see them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qgsd import cluster_key
from tests.integration.instance import Instance
from tests.network import hosts
from tests.network.hosts import PROXY, Host, Network
from tests.waiting import wait_for

SECONDS = float(os.environ.get("NETWORK_SECONDS", "0"))
NAMES = ("north", "east", "south")
# As many as proxies: each gets one.
WORKERS = 2
# Their clocks are so far from ours, in seconds.
CLOCKS = {"north": 0, "east": 7 * 3600, "south": 90 * 86400}


@dataclass
class World:
    """Everything ends with `stack`; `left` is then what should not be there any more."""

    folder: Path
    projects: Path
    network: Network
    stack: contextlib.ExitStack
    left: list[str] = field(default_factory=list)
    hosts: dict[str, Host] = field(default_factory=dict)
    starts: int = 0

    def __post_init__(self) -> None:
        self.key = self.folder / "cluster.key"
        cluster_key.write_new(self.key)
        self.front = self.proxy(self.folder / "proxy", PROXY)

    def proxy(self, folder: Path, address: str) -> Instance:
        settings = ("--set", f"zmq.bindaddr=tcp://{address}:18080", "--set", f"zmq.key_file={self.key}")
        proxy = Instance(folder, "run", ("--proxy", *settings, "--rootdir", str(self.projects)))
        self._end_with_us(proxy)
        return proxy

    def _end_with_us(self, instance: Instance) -> None:
        self.stack.callback(lambda: self.left.extend(instance.end()))

    def begin(self, name: str) -> None:
        """A host of that name, in the place of another one perhaps."""
        self.starts += 1
        ours = ("--rootdir", str(self.projects), "--key-file", str(self.key))
        arguments = ("--host", "proxy", "-w", str(WORKERS), *ours)
        host = self.hosts[name] = Host(self.network, name, arguments, clock=CLOCKS[name], run=self.starts)
        self._end_with_us(host)

    # What the proxy says.

    def joined(self, *names: str) -> bool:
        machines = self.front.ctl_json("status")["machines"]
        return {row["machine"] for row in machines if row["workers"]["ready"]} >= set(names)

    def wait_joined(self, *names: str) -> None:
        wait_for(f"{', '.join(names)} are there", lambda: self.joined(*names), 60)
        wait_for("their workers, too", self._all_at_the_queue, 30)

    def _all_at_the_queue(self) -> bool:
        status = self.front.ctl_json("status")
        return bool(status["worker_time"]["joined"] >= WORKERS * len(status["machines"]))

    def at_the_queue(self) -> int:
        """Workers that serve the first proxy."""
        return int(self.front.ctl_json("status")["worker_time"]["joined"])

    def told(self, event: str, name: str) -> int:
        """How often an event about a machine was told."""
        return sum(told["details"]["machine"] == name for told in self.front.events(event))


@contextlib.contextmanager
def new_world(folder: Path, projects: Path) -> Iterator[World]:
    """Three hosts that have joined the proxy."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(hosts.own_network())
        network = Network(folder, NAMES)
        stack.callback(network.close)
        world = World(folder, projects, network, stack)
        for name in NAMES:
            world.begin(name)
        world.front.wait_serving()
        world.wait_joined(*NAMES)
        yield world
    assert not world.left, f"left behind: {world.left}"
