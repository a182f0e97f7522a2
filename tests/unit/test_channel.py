# SPDX-License-Identifier: GPL-2.0-or-later
"""The channel between master and child, over real sockets: orders, reports, descriptors, ends, nonsense."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgsd import channel, messages
from qgsd.channel import CHANNEL_VARIABLE, ChannelClosed, ChildEnd, MasterEnd

Ends = tuple[MasterEnd, ChildEnd]
Raw = tuple[socket.socket, socket.socket]


@pytest.fixture
def raw() -> Iterator[Raw]:
    ours, theirs = channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def ends(raw: Raw) -> Ends:
    return MasterEnd(raw[0]), ChildEnd(raw[1])


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# Orders and reports.


def test_orders_arrive_in_order_and_one_by_one(ends: Ends) -> None:
    master, child = ends
    sent: list[messages.Order] = [
        messages.Drain(2.0), messages.Fork(3, "/tmp/x"), messages.ReopenLogs(), messages.LookAgain(),
    ]  # fmt: skip
    for order in sent:
        master.send(order)
    assert [child.receive() for _ in sent] == [(order, []) for order in sent]
    assert child.receive(wait=False) is None


def test_reports_arrive_and_the_master_never_waits(ends: Ends) -> None:
    master, child = ends
    assert master.receive() is None
    child.send(messages.Ready({"qgis_version": "3.40"}))
    child.send(messages.Happened("e", "why", {"slot": 1, "s": 0.5, "n": None}))
    assert master.receive() == messages.Ready({"qgis_version": "3.40"})
    assert master.receive() == messages.Happened("e", "why", {"slot": 1, "s": 0.5, "n": None})
    assert master.receive() is None


def test_not_waiting_once_does_not_stay(ends: Ends, raw: Raw) -> None:
    _, child = ends
    assert child.receive(wait=False) is None
    assert raw[1].getblocking()


def test_a_large_order_comes_whole(ends: Ends) -> None:
    master, child = ends
    order = messages.Configure(os.urandom(100_000))
    master.send(order)
    assert child.receive() == (order, [])


# Descriptors.


def test_descriptors_come_with_their_order_and_work(ends: Ends, tmp_path: Path) -> None:
    master, child = ends
    with (tmp_path / "a").open("w+b") as first, (tmp_path / "b").open("w+b") as second:
        master.send(messages.Fork(3, "/tmp/x"), [first.fileno(), second.fileno()])
        master.send(messages.Drain())
        received = child.receive()
        assert received is not None
        order, copies = received
        assert order == messages.Fork(3, "/tmp/x")
        assert len(set(copies)) == 2
        for copy, text in zip(copies, (b"to a", b"to b"), strict=True):
            assert not os.get_inheritable(copy)
            os.write(copy, text)
            os.close(copy)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"to a", b"to b")
    assert child.receive() == (messages.Drain(), [])


@pytest.mark.parametrize("packet", [messages.encode(messages.Ready()), b"\xc1 nonsense", b""])
def test_descriptors_that_a_child_sends_are_closed(ends: Ends, raw: Raw, packet: bytes) -> None:
    before = open_descriptors()
    socket.send_fds(raw[1], [packet], [raw[1].fileno()] * 3)
    if packet == messages.encode(messages.Ready()):
        assert ends[0].receive() == messages.Ready()
    else:
        with pytest.raises(ChannelClosed):
            ends[0].receive()
    assert open_descriptors() == before


# The end of either side.


def test_a_child_that_has_gone_is_noticed_after_its_last_words(ends: Ends) -> None:
    master, child = ends
    child.send(messages.Ready({"a": "b"}))
    child.close()
    assert master.receive() == messages.Ready({"a": "b"})
    with pytest.raises(ChannelClosed):
        master.receive()
    with pytest.raises(ChannelClosed):
        master.send(messages.Drain())


def test_last_words_come_through_though_orders_were_left_unread(ends: Ends) -> None:
    master, child = ends
    child.send(messages.Ready({"a": "b"}))
    child.send(messages.Happened("worker.failed", "why", {}))
    master.send(messages.Drain())
    child.close()
    assert master.receive() == messages.Ready({"a": "b"})
    assert master.receive() == messages.Happened("worker.failed", "why", {})
    with pytest.raises(ChannelClosed):
        master.receive()


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("unread", [True, False])
def test_a_master_that_has_gone_is_noticed(ends: Ends, unread: bool, wait: bool) -> None:
    master, child = ends
    if unread:
        child.send(messages.Ready())
    master.close()
    with pytest.raises(ChannelClosed):
        child.receive(wait=wait)
    with pytest.raises(ChannelClosed):
        child.send(messages.Ready())


def test_the_end_is_noticed_by_a_fork_of_the_child_only_when_all_have_gone(ends: Ends, raw: Raw) -> None:
    master, child = ends
    copy = os.dup(raw[1].fileno())
    child.close()
    assert master.receive() is None
    os.close(copy)
    with pytest.raises(ChannelClosed):
        master.receive()


def test_a_child_that_does_not_read_is_not_waited_for(ends: Ends) -> None:
    master, child = ends
    order = messages.Configure(b"x" * 50_000)

    def flood() -> None:
        for _ in range(10_000):
            master.send(order)

    with pytest.raises(ChannelClosed, match="does not read"):
        flood()
    assert child.receive() == (order, []), "what was sent before is still whole"


# Nonsense.


@pytest.mark.parametrize(
    "packet",
    [
        b"\xc1",
        b"\x00",
        b"{}",
        messages.encode(messages.Drain()),
        messages.encode(messages.Ready())[:-1],
        messages.encode({"type": "ready", "info": {"a": 1}}),
        messages.encode({"type": "forked", "row": "1", "pid": 2}),
        messages.encode({"info": {}}),
        messages.encode(messages.Ready({"text": "x" * (1 << 20)})),
    ],
)
def test_a_child_that_talks_nonsense_counts_as_gone(ends: Ends, raw: Raw, packet: bytes) -> None:
    raw[1].send(packet)
    with pytest.raises(ChannelClosed, match="no report"):
        ends[0].receive()


@given(st.binary(min_size=1, max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_packet_is_a_report_or_an_end(ends: Ends, raw: Raw, packet: bytes) -> None:
    raw[1].send(packet)
    try:
        report = ends[0].receive()
    except ChannelClosed:
        report = None
    else:
        assert isinstance(report, messages.Report)
    assert ends[0].receive() is None, "one packet, one message"


def test_an_order_that_makes_no_sense_is_an_error_in_the_child(ends: Ends, raw: Raw) -> None:
    raw[0].send(b"\xc1")
    with pytest.raises(msgspec.MsgspecError):
        ends[1].receive()


# Inheriting.


def test_a_child_finds_its_end_in_the_environment_and_does_not_pass_it_on(raw: Raw) -> None:
    ours, theirs = raw
    descriptor = theirs.detach()
    os.set_inheritable(descriptor, True)
    environ = {CHANNEL_VARIABLE: str(descriptor), "PATH": "x"}
    child = ChildEnd.inherited(environ)
    assert environ == {"PATH": "x"}
    assert child.fileno() == descriptor
    assert not os.get_inheritable(descriptor)
    child.send(messages.Ready())
    assert MasterEnd(ours).receive() == messages.Ready()
    child.close()


def test_without_a_master_there_is_no_end() -> None:
    with pytest.raises(KeyError):
        ChildEnd.inherited({})


def test_an_end_is_inherited_by_intention_only(raw: Raw) -> None:
    assert [os.get_inheritable(end.fileno()) for end in raw] == [False, False]
