# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that send what they should not, too much of it, too slowly, or from too many connections."""

from __future__ import annotations

import contextlib
import gzip
import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.waiting import wait_for

CAPABILITIES = ows_path(SERVICE="WMS", VERSION="1.3.0", REQUEST="GetCapabilities")
PROBE = Path(__file__).parents[1] / "plugins" / "probe"
LIMITS = """[server]
workers=1
pluginpath={plugins}
client_timeout=1
send_timeout=1
max_uri_size=2K
max_header_size=4K
max_body_size=64K
http_proxy=yes
trusted_proxies=192.0.2.0/24
cross_origins=https://map.example, http://localhost:3000
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "probe").symlink_to(PROBE)
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i",
        "run",
        ("--rootdir", str(shared_root)),
        config=LIMITS.format(plugins=plugins),
    )
    with instance:
        yield instance
    assert "Traceback" not in instance.log_text


@pytest.fixture
def more(server: Instance) -> Iterator[object]:
    """Further options for one test: `more("max_connections=3")`."""
    config = server.folder / "q.ini"
    text = config.read_text()

    def add(*lines: str) -> None:
        title = f"{time.monotonic()}"
        names = {line.partition("=")[0] for line in lines}
        kept = [line for line in text.splitlines() if line.partition("=")[0] not in names]
        config.write_text("\n".join([*kept, *lines, "[metadata]", f"title={title}", ""]))
        server.ctl("reload")
        wait_for(
            "it is taken over",
            lambda: server.get("/", Accept="application/json").json().get("info", {}).get("title") == title,
        )

    yield add
    add()
    config.write_text(text)


# Where a request ends must be beyond doubt.

_SECOND = b"GET /ping?second HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLING = {
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "the same length twice": b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "lengths in a list": b"Content-Length: 4, 4\r\n\r\nabcd",
    "a signed length": b"Content-Length: +4\r\n\r\nabcd",
    "a negative length": b"Content-Length: -4\r\n\r\nabcd",
    "a length in hexadecimal": b"Content-Length: 0x4\r\n\r\nabcd",
    "a length with an underscore": b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "a length of other digits": "Content-Length: \N{SUPERSCRIPT TWO}\r\n\r\nab".encode(),
    "an endless length": b"Content-Length: " + b"9" * 3000 + b"\r\n\r\n",
    "no length at all": b"Content-Length:\r\n\r\n",
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and more": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "something like chunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a blank before the name": b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a line without a colon": b"Transfer-Encoding\r\n\r\n0\r\n\r\n",
    "a line feed alone": b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a carriage return alone": b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL": b"X: a\0b\r\nContent-Length: 4\r\n\r\nabcd",
    "a NUL in a name": b"Content-Length\0: 4\r\n\r\nabcd",
    "a second host": b"Host: other\r\nContent-Length: 0\r\n\r\n",
}
CHUNKS = {
    "a size that is none": b"g\r\nabcd\r\n0\r\n\r\n",
    "a signed size": b"+4\r\nabcd\r\n0\r\n\r\n",
    "a size with 0x": b"0x4\r\nabcd\r\n0\r\n\r\n",
    "a size with a blank": b"4 \r\nabcd\r\n0\r\n\r\n",
    "a size with an underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "a negative size": b"-4\r\nabcd\r\n0\r\n\r\n",
    "no size": b"\r\nabcd\r\n0\r\n\r\n",
    "an endless size": b"0" * 5000 + b"4\r\nabcd\r\n0\r\n\r\n",
    "a huge size": b"f" * 60 + b"\r\nabcd",
    "a chunk that is too long": b"4\r\nabcdefgh\r\n0\r\n\r\n",
    "a chunk that is too short": b"8\r\nabcd\r\n0\r\n\r\n",
    "a chunk without its end": b"4\r\nabcd0\r\n\r\n",
    "a line feed alone": b"4\nabcd\n0\n\n",
    "no last line": b"4\r\nabcd\r\n0\r\nX",
}


def _statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def _is_complete(answer: bytes) -> bool:
    """As every answer is: an id, a length that is right, and here the end of the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return (
        b"X-Request-Id: " in head
        and b"Connection: close" in head
        and length is not None
        and int(length[1]) == len(body)
    )


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_head_that_leaves_doubts_is_400_and_nothing_behind_it_is_read(server: Instance, name: str) -> None:
    answer = server.raw(b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\n" + SMUGGLING[name] + _SECOND)
    assert _statuses(answer) == [400], answer
    assert _is_complete(answer)
    assert b"<ServiceException code=" in answer


def test_chunks_are_of_http_1_1(server: Instance) -> None:
    head = b"POST /ows/?MAP=world HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert _statuses(server.raw(head + _SECOND)) == [400]


@pytest.mark.parametrize("name", CHUNKS)
def test_a_bad_chunk_is_the_end(server: Instance, name: str) -> None:
    head = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = server.raw(head + CHUNKS[name] + _SECOND)
    assert _statuses(answer) in ([400], [408], [413]), answer
    assert _is_complete(answer)


@pytest.mark.parametrize(
    "first",
    [b"GET", b"GET /ping", b"GET /ping HTTP/1.1 x", b"GET  /ping HTTP/1.1", b"GET /ping HTTP/2.0",
     b"\x16\x03\x01", b"GET /ping HTTP/1,1", b"G\xc3\xa9T /ping HTTP/1.1", b"GET /pi\x01ng HTTP/1.1",
     b"PRI * HTTP/2.0",
     b"GET\t/ping\tHTTP/1.1", b"get /ping http/1.1", b"<xml/>"],
)  # fmt: skip
def test_what_is_no_request_is_400(server: Instance, first: bytes) -> None:
    answer = server.raw(first + b"\r\nHost: x\r\n\r\n" + _SECOND)
    assert _statuses(answer) == [400], answer
    assert _is_complete(answer)


def test_a_request_of_http_1_1_names_its_host(server: Instance) -> None:
    assert _statuses(server.raw(b"GET /ping HTTP/1.1\r\n\r\n" + _SECOND)) == [400]
    for host in (b"a b", b"a,b", b"a/b", b"<a>", b"a@b"):
        assert _statuses(server.raw(b"GET /ping HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")) == [400], host


def test_requests_one_behind_the_other_are_answered_in_order(server: Instance) -> None:
    """Also where the fast way and tornado take turns, and a bad one ends it."""
    asked = [CAPABILITIES, "/ping", CAPABILITIES, "/nothing", CAPABILITIES, ows_path(**GET_MAP)]
    server.get(CAPABILITIES)
    requests = [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for target in asked]
    bad = b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"
    answer = server.raw(b"".join(requests) + bad + _SECOND)
    assert _statuses(answer) == [200, 200, 200, 404, 200, 200, 400]


# Too large.


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /ows/?" + b"x" * 2100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /ows/?" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /ows/?" + b"x" * 3_000_000, 414),
        (b"GET /ows/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4200 + b"\r\n\r\n", 431),
        (b"GET /ows/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 3_000_000, 431),
        (b"GET /ows/ HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 500_000, 431),
        (b"X" * 100_000, 414),
    ],
)  # fmt: skip
def test_a_head_that_is_too_large_is_told_so(server: Instance, request_: bytes, status: int) -> None:
    answer = server.raw(request_)
    assert _statuses(answer) == [status]
    assert _is_complete(answer)


def test_who_still_sends_its_body_gets_to_read_that_it_is_too_large(server: Instance) -> None:
    """A connection that is closed while data come in is reset, and the answer is lost with it."""
    head = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % 50_000_000
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(head)
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(50):
                client.sendall(bytes(100_000))
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_all_bodies_together_have_a_bound(server: Instance, more) -> None:  # type: ignore[no-untyped-def]
    more("max_bodies_size=100K")
    head = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            for _ in range(2)
        ]
        for client in clients:
            client.sendall(head + bytes(59_999))
        answers = [client.recv(65536) for client in clients]
    assert sorted(_statuses(b"".join(answers))) in ([408, 503], [503, 503])
    small = b"SERVICE=WMS&REQUEST=GetCapabilities"
    assert server.request("POST", "/ows/?MAP=world", small).status == 200, "they count no longer"


def test_nothing_is_left_of_who_goes_in_the_middle_of_its_body(server: Instance) -> None:
    http = server.child("http")
    head = b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"

    def leave() -> int:
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
                client.sendall(head + bytes(50_000))
        wait_for("they are gone", lambda: not any(one.raddr for one in http.net_connections()))
        return http.memory_info().rss

    before = max(leave(), leave())
    for _ in range(3):
        leave()
    assert leave() - before < 10 << 20


def test_what_is_packed_is_not_unpacked(server: Instance) -> None:
    """QGIS does not read packed requests either: there is no bomb to make."""
    http = server.child("http")
    before = http.memory_info().rss
    bomb = gzip.compress(bytes(60_000_000), 9)
    assert len(bomb) < 64 * 1024
    answer = server.request("POST", "/ows/?MAP=world", bomb, {"Content-Encoding": "gzip"})
    assert "ServiceException" in answer.text
    assert http.memory_info().rss - before < 20_000_000


# Too slow.


def _trickle(server: Instance, first: bytes, then: bytes) -> tuple[bytes, float]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        began = time.monotonic()
        client.sendall(first)
        client.settimeout(0.05)
        while time.monotonic() - began < 10:
            with contextlib.suppress(TimeoutError):
                return client.recv(65536), time.monotonic() - began
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(then)
    raise AssertionError("it may go on for ever")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"GET /ping HTTP/1.1\r\n", b"X: y\r\n"),
        (b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (b"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_who_sends_bit_by_bit_has_no_more_time_than_others(
    server: Instance, first: bytes, then: bytes
) -> None:
    answer, took = _trickle(server, first, then)
    assert _statuses(answer) == [408]
    assert 0.9 < took < 3


def test_who_does_not_take_its_answer_is_cut_off(server: Instance) -> None:
    """One that is streamed by a worker, and those that come from what is kept."""
    streamed = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="40000")
    server.get(CAPABILITIES)
    http = server.child("http")
    for target, times in ((streamed, 1), (CAPABILITIES, 2000)):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times)
            peer = client.getsockname()[1]
            assert select.select([client], [], [], 10)[0], "the answer begins"
            wait_for("it is cut off", lambda peer=peer: peer not in _peers(http), 10)
    wait_for("its worker is free", lambda: server.ctl_json("status")["workers"]["busy"] == 0)


def _peers(http: psutil.Process) -> set[int]:
    return {
        connection.raddr.port
        for connection in http.net_connections()
        if connection.status == "ESTABLISHED" and connection.raddr
    }


# Too many.


def test_one_address_may_have_so_many_connections_and_no_more(server: Instance, more) -> None:  # type: ignore[no-untyped-def]
    more("max_connections_per_address=20")
    refused = b""
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        refused = server.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        other = socket.create_connection(("127.0.0.1", server.port), 10, source_address=("127.0.0.2", 0))
        stack.enter_context(other).sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _statuses(other.recv(65536)) == [200], "another address is let in"
    assert _statuses(refused) == [503]
    assert _is_complete(refused)
    assert b"Retry-After: 1\r\n" in refused
    wait_for("they have gone", lambda: server.get("/ping").status == 200)
    assert "error=too_many_connections" in server.log_text


def test_when_all_places_are_taken_others_wait(server: Instance, more) -> None:  # type: ignore[no-untyped-def]
    more("max_connections=5")
    places = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(5)]
    try:
        wait_for("it is told", lambda: "5 connections are the limit" in server.log_text)
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as late:
            late.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with pytest.raises(TimeoutError):
                late.recv(1000)
            late.settimeout(10)
            places.pop().close()
            assert _statuses(late.recv(1000)) == [200]
    finally:
        for place in places:
            place.close()


# Who is believed what.

CLAIMS = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-Ip": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Scheme": "https",
    "Forwarded": "host=evil.example;proto=https",
}


def test_only_listed_proxies_say_who_asks_and_for_what(server: Instance, more) -> None:  # type: ignore[no-untyped-def]
    for _ in range(3):
        told = server.get(CAPABILITIES, **CLAIMS).text
        assert "evil.example" not in told
        assert "https://127.0.0.1" not in told
    assert "203.0.113.9" not in server.log_text
    more("trusted_proxies=127.0.0.2, 127.0.0.1")
    for _ in range(3):
        assert "https://evil.example/" in server.get(CAPABILITIES, **CLAIMS).text
    wait_for("it is logged", lambda: server.log_text.count("203.0.113.9 - -") >= 3)
    more("trusted_proxies=127.0.0.2")
    for _ in range(3):
        assert "evil.example" not in server.get(CAPABILITIES, **CLAIMS).text


def test_other_sites_may_read_as_configured(server: Instance, more) -> None:  # type: ignore[no-untyped-def]
    def told(target: str, origin: str, method: str = "GET") -> tuple[str | None, bool]:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = server.request(method, target, headers=asked)
        return answer.headers.get("Access-Control-Allow-Origin"), "Origin" in answer.headers["Vary"]

    for target in (CAPABILITIES, CAPABILITIES, "/ping", "/nothing", "/", ows_path("nothing")):
        for method in ("GET", "OPTIONS"):
            for origin in ("https://map.example", "http://localhost:3000"):
                assert told(target, origin, method) == (origin, True), (target, method)
            for origin in (
                "http://map.example",
                "https://map.example.evil",
                "https://map.example:1",
                "null",
                "*",
            ):
                assert told(target, origin, method) == (None, True), (target, method, origin)


def test_pages_and_errors_have_the_headers_that_browsers_ask_for(server: Instance) -> None:
    for target in ("/", "/map/?MAP=world", "/map/?MAP=nothing"):
        headers = server.get(target, Accept="text/html").headers
        policy = headers["Content-Security-Policy"]
        for word in ("default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'self'"):
            assert word in policy, target
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    for target in ("/nothing", ows_path("nothing"), "/static/nothing.js", "/static/map.js"):
        assert server.get(target).headers["X-Content-Type-Options"] == "nosniff", target
    assert server.get("/").headers["Server"] == "qgsd"
