# SPDX-License-Identifier: GPL-2.0-or-later
"""A proxy and three worker hosts, each with a network and a clock of its own: what clients see of trouble.

Clients in a closed loop check every byte. NETWORK_SECONDS sets how long each kind of trouble goes on
(`make network`: 60); without it there is only a short form of them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.instance import GET_MAP, Crowd, ows_path
from tests.network.hosts import PROXY, SECOND_PROXY
from tests.network.world import NAMES, SECONDS, WORKERS, World
from tests.waiting import wait_for

TILE = ows_path(**GET_MAP)
# What is promised: a machine that is dead or cut off is noticed within so many seconds.
NOTICED = 5.0
# A request may have waited for that, then been tried again.
LONGEST = NOTICED + 3.0

pytestmark = pytest.mark.timeout(120 + 3 * SECONDS)


def _lost(world: World, name: str, strike: Callable[[], None]) -> float:
    """Seconds until it is noticed."""
    before, began = world.told("machine.lost", name), time.time()
    strike()
    wait_for("it is noticed", lambda: world.told("machine.lost", name) > before, 15)
    return float(world.front.events("machine.lost")[-1]["time"]) - began


def _back(world: World, name: str, mend: Callable[[], None]) -> None:
    before = world.told("machine.joined", name)
    mend()
    wait_for("it is back", lambda: world.told("machine.joined", name) > before, 60)
    world.wait_joined(name)


def die(world: World, name: str) -> float:
    took = _lost(world, name, world.hosts[name].die)
    _back(world, name, lambda: world.begin(name))
    return took


def _cut(*, to: bool = True, from_: bool = True) -> Callable[[World, str], float]:
    def strike(world: World, name: str) -> float:
        took = _lost(world, name, lambda: world.network.cut(name, to=to, from_=from_))
        _back(world, name, lambda: world.network.mend(name))
        return took

    return strike


def _bad(delay: float, loss: float) -> Callable[[World, str], float]:
    def strike(world: World, name: str) -> float:
        world.network.bad(name, delay=delay, loss=loss)
        time.sleep(max(5.0, SECONDS / len(NAMES)))
        world.network.mend(name)
        wait_for("it is there", lambda: world.joined(name), 60)
        return 0.0

    return strike


def upgrade(world: World, name: str) -> float:
    """Its master is asked to go, as an orchestrator does, and another one comes."""
    before = world.told("machine.left", name)
    world.hosts[name].signal("TERM")
    assert world.hosts[name].wait_end() == 0
    wait_for("it has left", lambda: world.told("machine.left", name) > before)
    _back(world, name, lambda: world.begin(name))
    return 0.0


def restart_proxy(world: World, _: str) -> float:
    world.front.ctl("restart", "--here")
    return 0.0


@dataclass(frozen=True)
class Trouble:
    """What happens to one host after the other; `strike` says after how many seconds it was noticed.

    `slowest`: seconds that no answer may take longer than.
    """

    name: str
    strike: Callable[[World, str], float]
    slowest: float = LONGEST


TROUBLES = [
    Trouble("a host dies, another one comes", die),
    Trouble("a cable is cut", _cut()),
    Trouble("a cable is cut towards the host", _cut(from_=False)),
    Trouble("a cable is cut from the host", _cut(to=False)),
    Trouble("50 ms more each way, 2 % of the packets lost", _bad(0.05, 0.02)),
    Trouble("10 % of the packets lost", _bad(0.0, 0.1)),
    Trouble("hosts are replaced one by one (rolling upgrade)", upgrade),
    Trouble("the proxy replaces its children", restart_proxy),
]


def _judge(world: World, crowd: Crowd, trouble: Trouble, noticed: list[float]) -> None:
    assert crowd.bad == [], crowd.bad[:3]
    assert crowd.longest < trouble.slowest, f"an answer took {crowd.longest:.1f} s"
    assert max(noticed, default=0.0) < NOTICED, f"noticed after {noticed} s"
    assert world.front.ctl_json("status")["counters"]["errors"] == 0


def _holders(world: World) -> set[str]:
    """The machines that have the project open."""
    told = world.front.ctl_json("projects")
    return {worker.partition("/")[0] for row in told for worker in row["workers"]}


def test_no_client_sees_hosts_die_be_cut_off_and_come_back(world: World) -> None:
    """Two of three at the same moment."""

    def strike() -> None:
        world.hosts["north"].die()
        world.network.cut("east", to=False)

    # So that both have requests then: more clients than workers, and the project open in all of these.
    world.front.ctl("pin", "world")
    with Crowd(world.front, 4 * len(NAMES), TILE) as crowd:
        wait_for("all have the project open", lambda: _holders(world) == set(NAMES), 60)
        crowd.wait_answers(20)
        noticed = [_lost(world, "north", strike)]
        wait_for("the other one, too", lambda: world.told("machine.lost", "east"), 5)
        world.begin("north")
        _back(world, "east", lambda: world.network.mend("east"))
        world.wait_joined("north")
        crowd.wait_answers(20)
    _judge(world, crowd, Trouble("both", die), noticed)
    assert world.front.ctl_json("status")["counters"]["retries"] > 0


def test_two_proxies_share_the_fleet_as_their_name_says(world: World, tmp_path: Path) -> None:
    second = world.proxy(tmp_path / "second", SECOND_PROXY)
    second.wait_serving()
    with Crowd(world.front, 2, TILE) as crowd:
        for host in world.hosts.values():
            host.knows(PROXY, SECOND_PROXY)
        wait_for("it has workers", lambda: second.get("/readyz").status == 200)
        assert second.get(TILE).body == crowd.expected
        wait_for("it has one of each host", lambda: world.at_the_queue() == len(NAMES))
        wait_for("it knows all hosts", lambda: len(second.ctl_json("status")["machines"]) == len(NAMES))
        for host in world.hosts.values():
            host.knows(PROXY)
        wait_for("they are back", lambda: world.at_the_queue() == WORKERS * len(NAMES))
        crowd.wait_answers(10)
    assert crowd.bad == []
    assert second.get("/readyz").status == 503
    assert not second.end()


@pytest.mark.skipif(not SECONDS, reason="the long form: NETWORK_SECONDS=60, or make network")
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_the_long_form(world: World, trouble: Trouble, capsys: pytest.CaptureFixture[str]) -> None:
    noticed, rounds = [], 0
    before = world.front.ctl_json("status")["counters"]["retries"]
    with Crowd(world.front, 4, TILE) as crowd:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            noticed.append(trouble.strike(world, NAMES[rounds % len(NAMES)]))
            rounds += 1
        crowd.wait_answers(20)
    retries = world.front.ctl_json("status")["counters"]["retries"] - before
    with capsys.disabled():
        print(
            f"\n| {trouble.name} | {rounds} times | {crowd.good} answers | {len(crowd.bad)} failed | "
            f"{retries} tried again | noticed within {max(noticed):.1f} s | "
            f"slowest {crowd.longest:.1f} s, slowest hundredth {1000 * crowd.slow(0.99):.0f} ms |"
        )
    _judge(world, crowd, trouble, noticed)
