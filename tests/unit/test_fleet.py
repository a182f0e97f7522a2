# SPDX-License-Identifier: GPL-2.0-or-later
"""Who belongs to the fleet, by what dispatchers tell; which worker works for which proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qgsd.master.fleet import RECONNECTION, SUCCESSION, Fleet, Unknown
from qgsd.master.proxies import PATIENCE, Proxies
from qgsd.messages import PROTOCOL, MachineHere
from qgsd.proxy.machines import Machines, refusal


def here(id: str, name: str = "", state: str = "running", workers: int = 2) -> MachineHere:
    return MachineHere(PROTOCOL, id, name or id, 1, "1", "3.22", state, workers, workers, 0, 0)  # type: ignore[arg-type]


def test_a_machine_joins_drains_and_leaves() -> None:
    fleet = Fleet()
    told = [
        *fleet.seen(1, here("a"), 0.0),
        *fleet.seen(1, here("a"), 1.0),
        *fleet.seen(1, here("a", state="draining"), 2.0),
        *fleet.seen(1, here("a", state="draining"), 2.5),
        *fleet.gone(1, "a", 3.0, left=True),
    ]
    assert [news.event for news in told] == ["machine.joined", "machine.draining", "machine.left"]
    assert not len(fleet)


def test_a_machine_without_a_connection_is_lost() -> None:
    fleet = Fleet()
    fleet.seen(1, here("a"), 0.0)
    assert not fleet.gone(1, "a", 5.0, left=False)
    assert not fleet.tick(4.9 + RECONNECTION)
    assert [news.event for news in fleet.tick(5.0 + RECONNECTION)] == ["machine.lost"]
    assert not fleet.tick(99.0)


def test_a_machine_that_takes_up_another_connection_is_no_news() -> None:
    fleet = Fleet()
    fleet.seen(1, here("a"), 0.0)
    fleet.gone(1, "a", 5.0, left=False)
    assert not fleet.seen(1, here("a"), 5.5)
    assert not fleet.tick(99.0)


def test_a_machine_that_goes_over_to_the_next_dispatcher_is_no_news() -> None:
    fleet = Fleet()
    fleet.seen(1, here("a"), 0.0)
    assert not fleet.seen(2, here("a"), 1.0)
    assert not fleet.gone(1, "a", 1.5, left=False)
    fleet.dispatcher_gone(1, 2.0)
    assert not fleet.tick(2.0 + 2 * SUCCESSION)
    assert [machine.since for machine in fleet] == [0.0]


def test_a_machine_that_does_not_come_back_after_a_dispatcher_is_lost() -> None:
    fleet = Fleet()
    fleet.seen(1, here("a"), 0.0)
    fleet.dispatcher_gone(1, 5.0)
    assert not fleet.tick(4.9 + SUCCESSION)
    assert [news.event for news in fleet.tick(5.0 + SUCCESSION)] == ["machine.lost"]


def test_names_are_told_apart_or_refused() -> None:
    fleet = Fleet()
    fleet.seen(1, here("1", "a"), 0.0)
    (news,) = fleet.seen(1, here("2", "b"), 0.0)
    assert "same name" not in news.reason
    assert fleet.named("b").here.id == "2"
    with pytest.raises(Unknown, match="there is no machine 'c': a, b"):
        fleet.named("c")
    (news,) = fleet.seen(1, here("3", "a"), 0.0)
    assert "same name" in news.reason
    with pytest.raises(Unknown, match="2 machines are called 'a'"):
        fleet.named("a")


def test_another_protocol_is_refused_in_words_and_another_version_is_not() -> None:
    assert refusal(PROTOCOL, "0.9", "2.0") == ""
    told = refusal(PROTOCOL + 1, "9.9", "1.0")
    assert f"protocol {PROTOCOL + 1} (qgsd 9.9)" in told
    assert f"{PROTOCOL} (qgsd 1.0)" in told


class Connections(RuleBasedStateMachine):
    """Machines come, take up further connections, lose them, say goodbye, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.machines = Machines()
        # What must be so: connections by machine.
        self.model: dict[str, list[bytes]] = {}
        self.serial = 0

    @rule(id=st.sampled_from("abc"))
    def connect(self, id: str) -> None:
        self.serial += 1
        peer = f"{id}{self.serial}".encode()
        assert self.machines.here(peer, here(id))
        assert not self.machines.here(peer, here(id, workers=3))
        self.model.setdefault(id, []).append(peer)

    @rule(pick=st.integers(0, 99))
    def break_one(self, pick: int) -> None:
        peers = [peer for known in self.model.values() for peer in known]
        if not peers:
            assert self.machines.unreachable(b"nobody") is None
            return
        peer = peers[pick % len(peers)]
        id = chr(peer[0])
        gone = self.machines.unreachable(peer)
        self.model[id].remove(peer)
        if self.model[id]:
            assert gone is None
        else:
            assert gone is not None
            assert (gone.id, gone.left) == (id, False)
            del self.model[id]

    @rule(id=st.sampled_from("abc"))
    def leave(self, id: str) -> None:
        peers = self.model.pop(id, [b"nobody"])
        gone = self.machines.left(peers[0])
        assert (gone is not None) == (peers != [b"nobody"])

    @invariant()
    def same(self) -> None:
        assert len(self.machines) == len(self.model)
        assert sorted(self.machines.peers()) == sorted(p for known in self.model.values() for p in known)
        for id in "abc":
            assert self.machines.peer_of(id) == (self.model[id][-1] if id in self.model else None)


TestConnections = Connections.TestCase

ADDRESSES = st.sets(st.sampled_from([f"tcp://10.0.0.{n}:1" for n in range(5)]), min_size=1)


@given(ADDRESSES, st.text(max_size=5), st.integers(1, 20))
def test_proxies_get_equal_parts_of_the_workers(addresses: set[str], machine: str, workers: int) -> None:
    proxies = Proxies(addresses, machine, 0.0)
    parts = [proxies.of_slot(slot, 1.0) for slot in range(workers)]
    counts = [parts.count(address) for address in addresses]
    assert max(counts) - min(counts) <= 1


@given(ADDRESSES, ADDRESSES)
def test_names_that_change_are_told_as_a_difference(before: set[str], after: set[str]) -> None:
    proxies = Proxies(before, "m", 0.0)
    new, gone = proxies.resolved(after, 1.0)
    assert (set(new), set(gone)) == (after - before, before - after)
    assert proxies.addresses == sorted(after)
    assert proxies.resolved([], 2.0) == ([], [])
    assert proxies.addresses == sorted(after), "a name server that says nothing changes nothing"


@given(ADDRESSES, st.data())
def test_workers_leave_silent_proxies_and_return(addresses: set[str], data: st.DataObject) -> None:
    proxies = Proxies(addresses, "m", 0.0)
    for address in addresses:
        proxies.answers(address)
    silent = data.draw(st.sets(st.sampled_from(sorted(addresses))))
    for address in silent:
        proxies.is_silent(address, 10.0)
    spread = {proxies.of_slot(slot, 10.0 + PATIENCE - 0.1) for slot in range(10)}
    assert spread == addresses
    spread = {proxies.of_slot(slot, 10.0 + PATIENCE) for slot in range(10)}
    assert spread == (addresses - silent or addresses)
    for address in silent:
        proxies.answers(address)
    assert {proxies.of_slot(slot, 99.0) for slot in range(10)} == addresses
