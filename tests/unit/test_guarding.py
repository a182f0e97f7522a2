# SPDX-License-Identifier: GPL-2.0-or-later
"""Heads of requests and claims of proxies, with arbitrary words in them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_request_start_line

from qgsd.config.forms import network, origin
from qgsd.proxy.http.connection import OneRequest
from qgsd.proxy.http.heads import flaw_of
from qgsd.proxy.http.request import ClientRequest
from qgsd.proxy.http.trust import Proxies, client_of

_WORDS = st.sampled_from(
    [b"Content-Length", b"content-length", b"Transfer-Encoding", b"chunked", b"Host", b"x", b":", b"\r\n",
     b": ", b"\n", b"\r", b"\0", b" ", b"\t", b",", b"4", b"0x4", b"+4", b"-1", b"\xff",
     b"GET / HTTP/1.1\r\n"]
)  # fmt: skip
_HEADS = st.lists(_WORDS | st.binary(max_size=3), max_size=25).map(
    lambda words: b"POST / HTTP/1.1\r\n" + b"".join(words) + b"\r\n\r\n"
)
addresses = st.ip_addresses().map(str)


@given(_HEADS | st.binary(max_size=200))
def test_no_head_breaks_the_judgement(head: bytes) -> None:
    flaw = flaw_of(head, 100, 100)
    assert flaw is None or flaw.status in (400, 414, 431)


@given(_HEADS)
def test_what_passes_leaves_no_doubt_where_the_request_ends(head: bytes) -> None:
    if flaw_of(head, 1000, 10_000) is not None:
        return
    lines = head.lstrip(b"\r\n").removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert not any(byte in line for line in lines for byte in b"\r\n\0")
    fields = [
        (name.lower(), value.strip(b" \t")) for name, _, value in (x.partition(b":") for x in lines[1:])
    ]
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1
    assert all(value.isdigit() for value in lengths)
    assert codings in ([], [b"chunked"])


@given(_HEADS)
def test_of_what_passes_tornado_sees_the_same(head: bytes) -> None:
    """Or refuses it: it must never read a request otherwise than it was judged."""
    if flaw_of(head, 1000, 10_000) is not None:
        return
    first, _, rest = head.decode("latin-1").lstrip("\r\n").partition("\r\n")
    try:
        start_line, headers = parse_request_start_line(first), HTTPHeaders.parse(rest)
        ClientRequest(HTTP1Connection.__new__(HTTP1Connection), start_line, headers)
    except HTTPInputError:
        return
    assert len(headers.get_list("Host")) == 1
    assert len(headers.get_list("Content-Length")) + len(headers.get_list("Transfer-Encoding")) <= 1


@given(_HEADS)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: \t2 \r\n\r\n")
@example(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
def test_headers_that_are_taken_apart_once_are_those_that_tornado_reads(head: bytes) -> None:
    if flaw_of(head, 1000, 10_000) is not None:
        return
    ours, tornados = OneRequest.__new__(OneRequest), HTTP1Connection.__new__(HTTP1Connection)
    try:
        first, headers = tornados._parse_headers(head)
    except HTTPInputError:
        with pytest.raises(HTTPInputError):
            ours._parse_headers(head)
        return
    again = ours._parse_headers(head)
    assert (again[0], list(again[1].get_all())) == (first, list(headers.get_all()))
    shared = ours._parse_headers(head)[1] is again[1]
    assert shared == (not first.endswith("HTTP/1.0")), "those of HTTP/1.0 may be changed"


def test_an_ordinary_request_passes() -> None:
    get = b"GET /ows/?MAP=world HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\nX-Empty:\r\n\r\n"
    assert flaw_of(get, 100, 100) is None
    assert flaw_of(b"\r\n" + get, 100, 100) is None, "some clients send an empty line behind a body"
    assert flaw_of(b"GET / HTTP/1.0\r\n\r\n", 100, 100) is None
    assert flaw_of(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n", 100, 100) is None


# Proxies.


@given(st.lists(addresses, max_size=4), st.lists(addresses, max_size=4), addresses)
def test_whoever_is_named_is_the_last_that_is_not_trusted(
    trusted: list[str], named: list[str], peer: str
) -> None:
    proxies = Proxies(trusted)
    found = client_of(
        peer, HTTPHeaders({"X-Forwarded-For": ", ".join(named)}) if named else HTTPHeaders(), proxies
    )
    others = [word for word in named if word not in proxies]
    assert found == (others[-1] if others else named[0] if named else peer)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40), addresses)
def test_no_claim_breaks_anything_and_all_that_is_believed_is_an_address(told: str, peer: str) -> None:
    headers = HTTPHeaders({"X-Forwarded-For": told}) if told else HTTPHeaders()
    assert ipaddress.ip_address(client_of(peer, headers, Proxies(["10.0.0.0/8"])))


def test_a_unix_socket_is_trusted_by_its_name() -> None:
    assert "0.0.0.0" in Proxies(["unix"])
    assert "0.0.0.0" not in Proxies(["0.0.0.0/0"])


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0", "here", "", "10.0.0.0/33"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        network(text)


@pytest.mark.parametrize(
    "text", ["maps.example", "https://maps.example/", "https://a b", "ftp://x", "null", ""]
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        origin(text)
