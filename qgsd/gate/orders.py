# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client of the gate asks for: the head of a request to a proxy (RFC 9110, RFC 9112). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The proxy's own business, or of one connection only.
_NOT_PASSED_ON = {"host", "connection", "keep-alive", "te", "trailer", "upgrade"}
_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_REQUEST = re.compile(r"([A-Z]+) ([!-~]+) HTTP/1\.[01]")


class Malformed(ValueError):
    """No request to a proxy."""


@dataclass(frozen=True)
class Order:
    """Connect to `host` and `port`; `head` is to be said there first, empty for a tunnel (CONNECT)."""

    host: str
    port: int
    head: bytes = b""


def read(head: bytes) -> Order:
    """The order in a head, without the empty line behind it. Raises `Malformed`.

    >>> read(b"CONNECT a.example:443 HTTP/1.1")
    Order(host='a.example', port=443, head=b'')
    >>> read(b"GET http://a.example/x?y HTTP/1.1").head
    b'GET /x?y HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: close\\r\\n\\r\\n'
    """
    first, *headers = head.decode("latin-1").split("\r\n")
    request = _REQUEST.fullmatch(first)
    if request is None:
        raise Malformed("no request")
    method, target = request.groups()
    if method == "CONNECT":
        return Order(*_authority(target, None))
    scheme, separator, rest = target.partition("://")
    if scheme.lower() != "http" or not separator:
        raise Malformed("only http, and tunnels for https")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host, port = _authority(authority, 80)
    path = rest[len(authority) :].partition("#")[0]
    path = path if path.startswith("/") else f"/{path}"
    kept = [line for line in headers if _is_passed_on(line)]
    # One request a connection: what comes behind it cannot ask for another host.
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}", *kept, "Connection: close", "", ""]
    return Order(host, port, "\r\n".join(lines).encode("latin-1"))


def _authority(text: str, usual: int | None) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(text)
    if match is None or (match[2] is None and usual is None) or not 0 < int(match[2] or usual or 0) < 65536:
        raise Malformed("no host and port")
    return match[1].strip("[]"), int(match[2] or usual or 0)


def _is_passed_on(line: str) -> bool:
    name, colon, _ = line.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", line):
        raise Malformed("a header that is none")
    return name.lower() not in _NOT_PASSED_ON and not name.lower().startswith("proxy-")
