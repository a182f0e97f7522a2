# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP as clients and caches expect it: lengths, streams, tags, ranges, compression, CORS, slow clients."""

from __future__ import annotations

import http.client
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest

from tests.integration.instance import GET_MAP, Instance, ows_path
from tests.waiting import wait_for

CAPABILITIES = ows_path(SERVICE="WMS", VERSION="1.3.0", REQUEST="GetCapabilities")
FEATURES = ows_path(
    SERVICE="WFS", VERSION="1.1.0", REQUEST="GetFeature", TYPENAME="countries", OUTPUTFORMAT="GeoJSON"
)
COLLECTIONS = "/wfs3/collections.json?MAP=world"
PROBE = Path(__file__).parents[1] / "plugins" / "probe"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_root: Path) -> Iterator[Instance]:
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "probe").symlink_to(PROBE)
    options = f"[server]\npluginpath={plugins}\nclient_timeout=1\nkeepalive_timeout=2\n"
    instance = Instance(
        tmp_path_factory.mktemp("q") / "i", "run", ("--rootdir", str(shared_root)), config=options
    )
    with instance:
        yield instance


def _raw(server: Instance, target: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, "", ""]
    return server.raw("\r\n".join(lines).encode())


# Lengths and streams.


def test_a_client_of_http_1_0_gets_a_stream_without_chunks_until_the_connection_ends(
    server: Instance,
) -> None:
    head, _, body = _raw(server, FEATURES, version="1.0").partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == server.get(FEATURES).body


def test_http_1_0_with_keep_alive_does_not_wait_for_an_end_that_never_comes(server: Instance) -> None:
    began = time.monotonic()
    head, _, body = _raw(server, FEATURES, "Connection: keep-alive", version="1.0").partition(b"\r\n\r\n")
    assert body == server.get(FEATURES).body
    assert time.monotonic() - began < 1.9, "it ended by the time-out of idle connections"
    assert b"keep-alive" not in head.lower()


def test_connections_are_kept_for_further_requests(server: Instance) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    ports = set()
    for target in (CAPABILITIES, FEATURES, ows_path(**GET_MAP), "/nothing", CAPABILITIES):
        connection.request("GET", target)
        connection.getresponse().read()
        assert connection.sock is not None
        ports.add(connection.sock.getsockname())
    connection.close()
    assert len(ports) == 1


def test_the_first_bytes_of_a_stream_come_before_its_end(server: Instance) -> None:
    """Also compressed: what has come so far can be read at once."""
    for coding, first in (("identity", b""), ("gzip", b"\x1f\x8b")):
        target = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="4000")
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n".encode())
            data = b""
            while data.count(b"\r\n") < 20 and b"\r\n\r\n" not in data:
                data += client.recv(65536)
            head, _, rest = data.partition(b"\r\n\r\n")
            while len(rest) < 10:
                rest += client.recv(65536)
            size, _, body = rest.partition(b"\r\n")
            assert b"Transfer-Encoding: chunked" in head
            assert body.startswith(first)
            assert int(size, 16) < 1_000_000, "it was gathered first"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_failure_in_mid_stream_is_seen(server: Instance, version: str, coding: str) -> None:
    target = ows_path(SERVICE="PROBE", REQUEST="stream", VALUE="40", ABORT=version + coding)
    request = f"GET {target} HTTP/{version}\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n"
    received, reset = b"", False
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(request.encode())
        try:
            while piece := client.recv(65536):
                received += piece
        except ConnectionResetError:
            reset = True
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")
    assert reset or version == "1.1", "with HTTP/1.0 the end of the connection looks like the end"


# Tags.


@pytest.mark.parametrize(
    "target",
    [
        CAPABILITIES,
        ows_path(SERVICE="WMS", REQUEST="GetProjectSettings"),
        ows_path(SERVICE="WMTS", REQUEST="GetCapabilities"),
        ows_path(SERVICE="WFS", VERSION="1.1.0", REQUEST="DescribeFeatureType", TYPENAME="places"),
        ows_path(SERVICE="WMS", VERSION="1.1.1", REQUEST="GetStyles", LAYERS="places"),
        ows_path(
            SERVICE="WMS", VERSION="1.1.1", REQUEST="DescribeLayer", LAYERS="places", SLD_VERSION="1.1.0"
        ),
        "/wfs3/api.openapi3?MAP=world",
    ],
)
def test_a_document_has_a_tag_and_is_not_sent_again(server: Instance, target: str) -> None:
    first = server.get(target)
    assert first.status == 200, first.text
    tag = first.headers["Etag"]
    assert tag.startswith('"')
    for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = server.get(target, **{"If-None-Match": asked})
        assert (again.status, again.body, again.headers["Etag"]) == (304, b"", tag), asked
        assert "Content-Length" not in again.headers
        assert again.headers["X-Request-Id"]
    changed = server.get(target, **{"If-None-Match": '"other"'})
    assert (changed.status, changed.body) == (200, first.body)


def test_a_head_of_a_document_tells_what_get_would(server: Instance) -> None:
    get, head = server.get(CAPABILITIES), server.request("HEAD", CAPABILITIES)
    for name in ("Content-Length", "Etag", "Content-Type", "Accept-Ranges"):
        assert head.headers[name] == get.headers[name]
    tag = {"If-None-Match": get.headers["Etag"]}
    assert server.request("HEAD", CAPABILITIES, headers=tag).status == 304


def test_what_is_no_document_has_no_tag_and_promises_no_ranges(server: Instance) -> None:
    for target in (ows_path(**GET_MAP), FEATURES):
        answer = server.get(target, Range="bytes=0-9")
        assert (answer.status, answer.headers.get("Etag"), answer.headers.get("Accept-Ranges")) == (
            200,
            None,
            None,
        )


# Ranges.


def test_a_part_of_a_document(server: Instance) -> None:
    whole = server.get(CAPABILITIES)
    length, tag = len(whole.body), whole.headers["Etag"]
    part = server.get(CAPABILITIES, Range="bytes=10-19")
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{length}"
    assert server.get(CAPABILITIES, Range="bytes=-5").body == whole.body[-5:]
    assert server.get(CAPABILITIES, Range="bytes=5-", **{"If-Range": tag}).body == whole.body[5:]
    assert server.get(CAPABILITIES, Range="bytes=5-", **{"If-Range": '"old"'}).status == 200
    assert server.get(CAPABILITIES, Range="bytes=0-1,5-6").status == 200
    beyond = server.get(CAPABILITIES, Range=f"bytes={length}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{length}")
    head = server.request("HEAD", CAPABILITIES, headers={"Range": "bytes=10-19"})
    assert head.status in (200, 206)
    assert head.body == b""


# Compression.


@pytest.mark.parametrize("target", [CAPABILITIES, COLLECTIONS, FEATURES])
@pytest.mark.parametrize(
    ("coding", "decode"),
    [("gzip", lambda body: zlib.decompress(body, 47)), ("br", brotli.decompress)],
)
def test_text_is_compressed_for_clients_that_take_it(  # type: ignore[no-untyped-def]
    server: Instance, target: str, coding: str, decode
) -> None:
    plain = server.get(target, **{"Accept-Encoding": "identity"})
    packed = server.get(target, **{"Accept-Encoding": f"{coding};q=0.8, identity;q=0.1"})
    assert packed.headers["Content-Encoding"] == coding
    assert decode(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert "Accept-Encoding" in plain.headers["Vary"]
    head = server.request("HEAD", target, headers={"Accept-Encoding": coding})
    assert head.headers["Content-Length"] == str(len(packed.body))
    assert head.headers["Content-Encoding"] == coding


def test_each_coding_has_a_tag_of_its_own(server: Instance) -> None:
    plain, packed = server.get(CAPABILITIES), server.get(CAPABILITIES, **{"Accept-Encoding": "gzip"})
    assert plain.headers["Etag"] != packed.headers["Etag"]
    same = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["Etag"]}
    assert server.get(CAPABILITIES, **same).status == 304
    other = {"Accept-Encoding": "gzip", "If-None-Match": plain.headers["Etag"]}
    assert server.get(CAPABILITIES, **other).status == 200


def test_pictures_short_answers_and_who_does_not_ask_are_left_alone(server: Instance) -> None:
    take = {"Accept-Encoding": "gzip, br"}
    assert "Content-Encoding" not in server.get(ows_path(**GET_MAP), **take).headers
    assert "Content-Encoding" not in server.get(ows_path(SERVICE="WMS", REQUEST="GetNothing"), **take).headers
    assert "Content-Encoding" not in server.get(CAPABILITIES, **{"Accept-Encoding": "gzip;q=0"}).headers
    part = server.get(CAPABILITIES, Range="bytes=0-9", **take)
    assert (part.status, "Content-Encoding" in part.headers) == (206, False)


# Requests that are announced, or come slowly.


def test_a_body_that_would_be_too_large_is_refused_before_it_is_sent(server: Instance) -> None:
    told = _raw(
        server, "/ows/?MAP=world", "Content-Length: 99999999999", "Expect: 100-continue", method="POST"
    )
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b"100" not in told.split(b"\r\n")[0]


def test_a_client_that_waits_for_it_is_told_to_go_on(server: Instance) -> None:
    form = b"SERVICE=WMS&REQUEST=GetCapabilities"
    head = (
        f"POST /ows/?MAP=world HTTP/1.1\r\nHost: x\r\nContent-Length: {len(form)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(head.encode())
        assert client.recv(1000) == b"HTTP/1.1 100 (Continue)\r\n\r\n"
        client.sendall(form)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_head_that_does_not_come_to_an_end_is_408(server: Instance) -> None:
    answer = server.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Slow")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"X-Request-Id: " in head
    assert b'"code":"request_timeout"' in body


def test_a_head_that_comes_byte_by_byte_is_408(server: Instance) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        began = time.monotonic()
        answer = b""
        client.settimeout(0.1)
        while not answer and time.monotonic() - began < 10:
            client.sendall(b"G")
            try:
                answer = client.recv(1000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.9 < time.monotonic() - began < 2.5


def test_who_is_silent_between_requests_is_not_accused(server: Instance) -> None:
    began = time.monotonic()
    answer = server.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert 1.5 < time.monotonic() - began < 5
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


# CORS.


def test_scripts_of_other_sites_may_read_tags_and_ask_conditionally(server: Instance) -> None:
    answer = server.get(CAPABILITIES, Origin="http://map.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    again = server.get(CAPABILITIES, Origin="http://map.example", **{"If-None-Match": answer.headers["Etag"]})
    assert (again.status, again.headers["Access-Control-Allow-Origin"]) == (304, "*")
    preflight = server.request(
        "OPTIONS",
        "/ows/",
        headers={"Origin": "http://map.example", "Access-Control-Request-Headers": "If-None-Match, X-My"},
    )
    assert preflight.headers["Access-Control-Allow-Headers"] == "If-None-Match, X-My"
    error = server.get("/nothing/here", Origin="http://map.example")
    assert (error.status, error.headers["Access-Control-Allow-Origin"]) == (404, "*")


def test_what_may_change_while_it_serves(server: Instance) -> None:
    config = server.folder / "q.ini"
    text = config.read_text()
    config.write_text(text + "compression=no\ncross_origin=no\n")
    server.ctl("reload")

    def plain() -> bool:
        answer = server.get(CAPABILITIES, Origin="http://map.example", **{"Accept-Encoding": "gzip"})
        return (
            "Content-Encoding" not in answer.headers and "Access-Control-Allow-Origin" not in answer.headers
        )

    wait_for("neither compression nor CORS", plain)
    preflight = server.request("OPTIONS", "/ows/", headers={"Origin": "http://map.example"})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    config.write_text(text)
    server.ctl("reload")
