# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of the differential suite sees what a client would see, and nothing else."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.differential.compare import Reply, differences


def _reply(kind: str, body: bytes, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {"content-type": kind, "content-length": str(len(body))} | headers, body)


def _picture(corner: tuple[int, int, int], kind: str = "PNG", **options: int) -> bytes:
    image = Image.new("RGB", (8, 8), "white")
    image.putpixel((0, 0), corner)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("text/xml", b'<a b="1" c="2">x</a>', b'<a c="2" b="1">x</a>'),
        ("text/xml", b'<a timeStamp="2024-01-01T00:00:00"/>', b'<a timeStamp="2025-01-01T00:00:00Z"/>'),
        ("application/json", b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'),
        ("application/pdf", b"/CreationDate (D:2024)\n/ID [<1>]", b"/CreationDate (D:2025)\n/ID [<2>]"),
        ("image/png", _picture((1, 2, 3), compress_level=1), _picture((1, 2, 3), compress_level=9)),
    ],
)
def test_what_means_the_same_is_the_same(kind: str, one: bytes, other: bytes) -> None:
    assert differences(_reply(kind, one), _reply(kind, other)) == []


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("text/xml", b'<a b="1">x</a>', b'<a b="2">x</a>'),
        ("text/xml", b"<a>x</a>", b"<a> x</a>"),
        ("text/xml", b"<a><b/><c/></a>", b"<a><c/><b/></a>"),
        ("text/xml", b"<a>", b"<b>"),
        ("application/json", b'{"a": 1}', b'{"a": 2}'),
        ("application/pdf", b"/CreationDate (D:2024) a", b"/CreationDate (D:2025) b"),
        ("image/png", _picture((1, 2, 3)), _picture((1, 2, 4))),
        ("image/png", _picture((1, 2, 3)), b"no picture"),
        ("text/plain", b"a", b"b"),
    ],
)
def test_what_a_client_could_see_is_told(kind: str, one: bytes, other: bytes) -> None:
    assert differences(_reply(kind, one), _reply(kind, other))


def test_status_and_headers_count_except_our_own() -> None:
    wanted = _reply("text/plain", b"x")
    assert differences(wanted, _reply("text/plain", b"x", 500))
    assert differences(wanted, _reply("text/html", b"x"))
    assert differences(wanted, _reply("text/plain", b"x", etag="1")) == []
    assert differences(wanted, _reply("text/plain", b"x", age="1"))
    assert differences(_reply("text/plain", b"x", etag="1"), wanted)
    assert differences(wanted, Reply(200, wanted.headers | {"content-length": "2"}, b"x"))
    assert differences(wanted, _reply("text/plain", b"x", server="qgsd")) == []
