# SPDX-License-Identifier: GPL-2.0-or-later
"""Which addresses the gate lets through, and how it reads what is asked of it."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.config.options.network import WORDS
from qgsd.gate import orders
from qgsd.gate.forward import NotConnected, Passage
from qgsd.gate.rules import Own, Rules

OWN = Own(
    frozenset(map(ipaddress.ip_address, ("192.168.7.7", "203.0.113.9", "8.8.4.4", "127.0.0.1"))),
    frozenset({8080}),
    frozenset({("maps.example", 443), ("proxy.example", 0)}),
)
USUAL = Rules(WORDS, OWN)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        # Of this machine, of its network, of a cloud's metadata, of everybody.
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("240.0.0.1", False),
        # The same in other words.
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2002:a9fe:a9fe::1", False),
        # Public, but this very machine: no firewall is in between.
        ("8.8.4.4", False),
    ],
)
def test_usually_only_the_internet_is_let_through(address: str, permitted: bool) -> None:
    assert USUAL.permits("any.example", address, 80) == permitted


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fc00::/7"), st.integers(1, 65535))
def test_private_networks_never_are(address: ipaddress._BaseAddress, port: int) -> None:
    assert not USUAL.permits("any.example", str(address), port)


def test_this_very_server_is_let_through_by_its_ports() -> None:
    for address in ("127.0.0.1", "::1", "192.168.7.7", "8.8.4.4"):
        assert USUAL.permits("any", address, 8080)
        assert not USUAL.permits("any", address, 19876)
    assert not USUAL.permits("any", "192.168.7.8", 8080)
    assert USUAL.permits("MAPS.example", "10.0.0.2", 443)
    assert not USUAL.permits("maps.example", "10.0.0.2", 22)
    assert USUAL.permits("proxy.example", "10.0.0.2", 8080)
    assert not Rules(("public",), OWN).permits("any", "127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("hosts", "host", "address", "permitted"),
    [
        (("gis.intern",), "GIS.intern.", "10.0.0.1", True),
        (("gis.intern",), "other.intern", "10.0.0.1", False),
        (("*.intern",), "gis.intern", "10.0.0.1", True),
        (("*.intern",), "intern", "10.0.0.1", False),
        (("10.1.0.0/16",), "any", "10.1.2.3", True),
        (("10.1.0.0/16",), "any", "10.2.2.3", False),
        (("10.1.0.0/16",), "any", "::ffff:10.1.2.3", True),
        (("fd00::/8",), "any", "fd12::1", True),
        (("10.1.2.3",), "any", "10.1.2.3", True),
        (("*",), "any", "127.0.0.1", True),
        ((), "any", "93.184.216.34", False),
    ],
)
def test_what_is_listed_is_let_through(
    hosts: tuple[str, ...], host: str, address: str, permitted: bool
) -> None:
    assert Rules(hosts, OWN).permits(host, address, 80) == permitted


def test_a_request_is_told_as_to_the_server_itself() -> None:
    head = (
        b"POST http://a.example:81/x?y=z HTTP/1.1\r\nHost: 127.0.0.1\r\nProxy-Authorization: x\r\n"
        b"Connection: keep-alive\r\nContent-Length: 3\r\nCookie: a=b"
    )
    order = orders.read(head)
    assert (order.host, order.port) == ("a.example", 81)
    lines = order.head.split(b"\r\n")
    assert lines[:2] == [b"POST /x?y=z HTTP/1.1", b"Host: a.example:81"]
    assert lines[2:] == [b"Content-Length: 3", b"Cookie: a=b", b"Connection: close", b"", b""]
    assert orders.read(b"GET http://[::1]:8080 HTTP/1.1").host == "::1"


@pytest.mark.parametrize(
    "head",
    [
        b"", b"GET / HTTP/1.1", b"GET ftp://a/ HTTP/1.1", b"GET http://a@b/ HTTP/1.1", b"CONNECT a HTTP/1.1",
        b"CONNECT a:0 HTTP/1.1", b"CONNECT a:99999 HTTP/1.1", b"GET http:///x HTTP/1.1",
        b"get http://a/ HTTP/1.1", b"GET http://a/ HTTP/1.1\r\nno header",
        b"GET http://a/ HTTP/1.1\r\nA: b\nHost: c", b"GET http://a/ HTTP/2",
        b"GET http://a\\b/ HTTP/1.1", b"GET http://a/ HTTP/1.1\r\nA : b",
    ],
)  # fmt: skip
def test_what_is_no_request_to_a_proxy(head: bytes) -> None:
    with pytest.raises(orders.Malformed):
        orders.read(head)


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(head: bytes) -> None:
    for given_head in (head, b"GET http://" + head + b" HTTP/1.1"):
        try:
            order = orders.read(given_head)
        except orders.Malformed:
            continue
        assert order.host
        assert 0 < order.port < 65536


def test_the_address_that_was_judged_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means a public address first and this machine from then on (DNS rebinding)."""
    asked: list[str] = []
    meanings = iter([["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]])

    async def connect(address: str, port: int) -> NoReturn:
        asked.append(address)
        raise ConnectionRefusedError

    async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (one, port)) for one in next(meanings)]

    async def judge() -> list[str]:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        monkeypatch.setattr(asyncio, "open_connection", connect)
        statuses = []
        for _ in range(2):
            passage = Passage(USUAL, lambda *_: None, (asyncio.StreamReader(), None))  # type: ignore[arg-type]
            with pytest.raises(NotConnected) as refused:
                await passage._connect("rebinding.example", 80)
            statuses.append(refused.value.status[:3])
        return statuses

    assert asyncio.run(judge()) == ["502", "403"]
    assert asked == ["93.184.216.34"]
