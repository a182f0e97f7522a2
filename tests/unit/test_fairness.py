# SPDX-License-Identifier: GPL-2.0-or-later
"""Fair in workers' time: equal parts, or by weight, for those who want it, and nobody waits for ever."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from qgsd.proxy.costs import Costs, kind_of
from qgsd.proxy.decisions import Arrival, Decision, Dispatch, Limits
from qgsd.proxy.scheduler import Scheduler
from qgsd.proxy.shares import _MOST_KEPT, Shares

SECONDS = st.sampled_from([0.02, 0.1, 0.5, 2.0, 7.0])


class World:
    """Tenants that ask again as soon as they are answered, each with so many requests at once."""

    def __init__(self, workers: int, weights: dict[str, float] | None = None) -> None:
        limits = Limits(10_000, 1e6, 1e6, share=workers, weights=weights or {})
        self.scheduler = Scheduler(limits, 0.0)
        self.now = 0.0
        self.serial = count()
        self.ends: list[tuple[float, str, bytes]] = []
        self.seconds: dict[str, Iterator[float]] = {}
        self.used: Counter[str] = Counter()
        self.arrived_at: dict[str, float] = {}
        self.longest_wait: Counter[str] = Counter()
        for number in range(workers):
            self.take(self.scheduler.joined(b"w%d" % number, 0.0))

    def ask(self, tenant: str, project: str | None = None) -> None:
        id = f"{tenant}.{next(self.serial)}"
        self.arrived_at[id] = self.now
        arrival = Arrival(id, b"h", project or tenant, True, 1e6, tenant=tenant, kind=tenant)
        self.take(self.scheduler.arrived(arrival, self.now))

    def take(self, decisions: list[Decision]) -> None:
        for sent in decisions:
            assert isinstance(sent, Dispatch)
            tenant = sent.id.partition(".")[0]
            waited = self.now - self.arrived_at[sent.id]
            self.longest_wait[tenant] = max(self.longest_wait[tenant], waited)
            took = next(self.seconds[tenant])
            self.used[tenant] += took
            heapq.heappush(self.ends, (self.now + took, sent.id, sent.worker))

    def run(self, until: float, again: Callable[[str], object]) -> None:
        while self.ends and self.ends[0][0] <= until:
            self.now, id, worker = heapq.heappop(self.ends)
            self.take(self.scheduler.finished(worker, id, self.now))
            again(id.partition(".")[0])


def forever(*values: float) -> Iterator[float]:
    while True:
        yield from values


@given(st.lists(st.lists(SECONDS, min_size=1, max_size=4), min_size=2, max_size=5), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_all_get_the_same_time_whatever_their_requests_take(costs: list[list[float]], workers: int) -> None:
    world = World(workers)
    for number, seconds in enumerate(costs):
        world.seconds[f"t{number}"] = forever(*seconds)
    for number in range(len(costs)):
        for _ in range(workers + 1):
            world.ask(f"t{number}")
    world.run(30.0, world.ask)
    dearest = max(max(seconds) for seconds in costs)
    # What is running, and what was thought wrongly of the first ones.
    slack = (2 * workers + 1) * max(dearest, 0.1)
    assert max(world.used.values()) - min(world.used[f"t{n}"] for n in range(len(costs))) <= slack


def test_by_weight() -> None:
    world = World(1, weights={"gis_town": 3.0})
    world.seconds = {"gis:town": forever(0.1), "other": forever(0.3)}
    for tenant in world.seconds:
        world.ask(tenant)
        world.ask(tenant)
    world.run(100.0, world.ask)
    assert 2.8 < world.used["gis:town"] / world.used["other"] < 3.2


def test_quick_ones_hardly_notice_a_heavy_tenant() -> None:
    """One worker: a tile waits for what runs, never for what waits."""
    world = World(1)
    world.seconds = {"heavy": forever(2.0), "tiles": forever(0.01)}
    for _ in range(20):
        world.ask("heavy")
    world.ask("tiles")
    world.run(50.0, world.ask)
    assert world.longest_wait["tiles"] <= 2.01


def test_who_comes_back_has_saved_nothing() -> None:
    world = World(1)
    world.seconds = {"early": forever(0.1), "idle": forever(0.1)}
    world.ask("idle")
    world.run(1.0, lambda tenant: None)
    world.ask("early")
    world.ask("early")
    world.run(100.0, world.ask)
    before = Counter(world.used)
    for _ in range(5):
        world.ask("idle")
    world.run(102.0, world.ask)
    assert world.used["idle"] - before["idle"] <= 1.2


def test_a_stream_of_newcomers_holds_nobody_up_for_ever() -> None:
    world = World(1)
    world.seconds = {"steady": forever(0.5)}
    fresh = count()

    def newcomer(tenant: str) -> None:
        if tenant == "steady":
            world.ask("steady")
            return
        name = f"n{next(fresh)}"
        world.seconds[name] = forever(0.01)
        world.ask(name)

    world.ask("steady")
    world.ask("steady")
    for _ in range(3):
        newcomer("")
    world.run(60.0, newcomer)
    assert world.longest_wait["steady"] < 5.0
    assert world.used["steady"] > 5.0


def test_many_that_come_back_now_and_then_hold_up_nobody_who_is_always_there() -> None:
    """Each of a hundred has had less than it, whenever that one comes."""
    world = World(1)
    world.seconds = {"steady": forever(0.5)} | {f"n{number}": forever(0.05) for number in range(100)}
    turn = count()

    def again(tenant: str) -> None:
        world.ask("steady" if tenant == "steady" else f"n{next(turn) % 100}")

    again("steady")
    again("steady")
    for _ in range(3):
        again("")
    world.run(60.0, again)
    assert world.longest_wait["steady"] < 6.0


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_nobody_waits_for_ever(data: st.DataObject) -> None:
    """However dear the others are: a waiting request runs after at most a round of theirs."""
    world = World(1)
    tenants = [f"t{number}" for number in range(data.draw(st.integers(2, 6)))]
    for tenant in tenants:
        world.seconds[tenant] = forever(*data.draw(st.lists(SECONDS, min_size=1, max_size=3)))
    for tenant in tenants:
        world.ask(tenant)
        world.ask(tenant)
    world.run(60.0, world.ask)
    for tenant in tenants:
        # Its own dear ones make it wait as well: one of 7 s is paid for by as much for each of the others.
        assert world.longest_wait[tenant] <= 2 * 7.0 * len(tenants) + 7.0


def test_clients_share_though_they_ask_for_one_project() -> None:
    world = World(1)
    world.seconds = {"crowd": forever(0.2), "single": forever(0.2)}
    for _ in range(10):
        world.ask("crowd", "town")
    world.ask("single", "town")
    world.run(100.0, lambda tenant: world.ask(tenant, "town"))
    assert 0.8 < world.used["single"] / world.used["crowd"] < 1.25


def test_accounts_are_bounded() -> None:
    shares = Shares()
    for number in range(3 * _MOST_KEPT):
        shares.charge(f"t{number}", 5.0)
        shares.settle(f"t{number}", 5.0, 5.0)
        assert len(shares) <= _MOST_KEPT + 2


def test_costs_are_learned_by_project_and_kind_and_bounded() -> None:
    costs = Costs(most=100)
    kind = kind_of("WMS", "GetMap", 256 * 256)
    assert costs.expected("a", kind) == 0.1
    costs.learn("a", kind, 4.0)
    assert costs.expected("a", kind) == 4.0
    assert costs.expected("b", kind) == 4.0, "of a project that is not known, as elsewhere"
    for _ in range(30):
        costs.learn("b", kind, 0.01)
    assert costs.expected("a", kind) == 4.0
    assert costs.expected("b", kind) < 0.02
    for number in range(500):
        costs.learn(f"p{number}", kind, 1.0)
    assert len(costs._means) <= 100
