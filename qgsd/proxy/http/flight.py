# SPDX-License-Identifier: GPL-2.0-or-later
"""When two requests are the same to QGIS and its plugins, so that one answer does for both. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from qgsd.messages import Headers

# Told apart by these, no two requests would be the same; they say who asks whom, not what for.
_OF_ONE_REQUEST = {
    "x-request-id", "x-correlation-id", "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid",
    "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "x-amzn-trace-id", "x-cloud-trace-context",
    "uber-trace-id",
}  # fmt: skip


def told_by(headers: Headers) -> bytes:
    """What headers say that QGIS and its plugins can tell requests apart by, for `flight`."""
    told = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_ONE_REQUEST]
    # Encoded with lengths, so that nothing that a client writes can pass for something else.
    return msgspec.msgpack.encode(told)


def flight(project: str, url: str, told: bytes) -> str:
    """The same for GET requests that QGIS and its plugins cannot tell apart.

    All headers that are passed on count, since a plugin may read any of them, but for those that number
    or trace requests; `told` is from `told_by`.

    >>> def of(*headers): return flight("town", "http://h/ows/?A=1", told_by(list(headers)))
    >>> of(("Cookie", "x"), ("X-Request-Id", "1")) == of(("cookie", "x"), ("X-Request-Id", "2"))
    True
    >>> of(("Cookie", "x"), ("X-Request-Id", "1")) == of(("Cookie", "y"), ("X-Request-Id", "1"))
    False
    """
    packed = msgspec.msgpack.encode((project, url, told))
    return hashlib.blake2b(packed, digest_size=16).hexdigest()
