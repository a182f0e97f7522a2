# SPDX-License-Identifier: GPL-2.0-or-later
"""Under which address clients know this server, and which of their headers QGIS gets to see. Pure.

QGIS writes its own address into capabilities and links: for OWS it looks at headers, for OGC API Features
only at the address of the request. So QGIS is given the public address, with headers that agree with it.
Its own reading of `Forwarded` knows neither quotes nor capitals, so that header is read here (RFC 7239).

A client could have every later client of the same worker sent elsewhere if it were believed, because QGIS
keeps capabilities: what names an address is heeded only behind a proxy (`server.http_proxy`).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders

_SCHEMES = ("http", "https")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,\s]*)\s*(;|,|$)')

# Concern the connection to the client, not the request (RFC 9110, 7.6.1).
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "expect",
}  # fmt: skip
_ADDRESS = {
    "forwarded", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "x-forwarded-url",
    "x-qgis-forwarded-url", "x-forwarded-for", "x-forwarded-port", "x-real-ip", "x-scheme",
}  # fmt: skip
# Whose certificate it was: for us to say, or for a proxy that speaks TLS in our place.
_CERTIFICATE = ("x-ssl-client-s-dn", "x-ssl-client-verify")
_SERVICE_URL = re.compile(r"x-qgis-(?:[a-z0-9]+-)?service-url")
# Read by QGIS itself; they are passed on whatever `server.allow_headers` says.
_NEEDED = {"host", "accept", "content-type", "content-length", "x-request-id", "cookie"}

Pairs = list[tuple[str, str]]


class Address(NamedTuple):
    """What stands in front of the path: `https`, `maps.example:8443` and `/geo`."""

    scheme: str
    host: str
    prefix: str = ""

    def url(self, uri: str) -> str:
        """The address of a request for `uri`, the path with its query."""
        return f"{self.scheme}://{self.host}{self.prefix}{uri}"


def parse_base(url: str) -> Address | None:
    """The address that a base URL stands for; None where it is none.

    >>> parse_base("https://maps.example/geo/")
    Address(scheme='https', host='maps.example', prefix='/geo')
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    prefix = parts.path.rstrip("/")
    if parts.scheme not in _SCHEMES or not _HOST.fullmatch(parts.netloc) or not _PREFIX.fullmatch(prefix):
        return None
    return Address(parts.scheme, parts.netloc, prefix)


def parse_forwarded(value: str) -> dict[str, str]:
    """The pairs of the first element of a `Forwarded` header, by name in small letters.

    >>> parse_forwarded('For=192.0.2.1;HOST="maps.example:8443"; proto=https, for=10.0.0.1')
    {'for': '192.0.2.1', 'host': 'maps.example:8443', 'proto': 'https'}
    """
    found: dict[str, str] = {}
    at = 0
    while match := _PAIR.match(value, at):
        name, text, end = match.groups()
        quoted = text.startswith('"')
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", text[1:-1]) if quoted else text)
        at = match.end()
        if end != ";":
            break
    return found


def _first(value: str) -> str:
    """Of several proxies the first one, which the client has asked."""
    return value.split(",")[0].strip()


def public_address(
    scheme: str, host: str, headers: HTTPHeaders, *, trusted: bool, proxy_url: str = ""
) -> Address:
    """The address clients use. `scheme` and `host` are those that the connection and `Host` tell.

    `server.proxy_url` counts most, then what a trusted proxy says: a whole base URL, `Forwarded`,
    `X-Forwarded-*`. What makes no sense is passed over.
    """
    base = parse_base(proxy_url) if proxy_url else None
    if base is not None or not trusted:
        return base or Address(scheme, host)
    for name in ("X-Qgis-Forwarded-Url", "X-Forwarded-Url"):
        if told := parse_base(headers.get(name, "")):
            return told
    forwarded = parse_forwarded(headers.get("Forwarded", ""))
    told_host = forwarded.get("host") or _first(headers.get("X-Forwarded-Host", ""))
    told_scheme = (forwarded.get("proto") or _first(headers.get("X-Forwarded-Proto", ""))).lower()
    prefix = _first(headers.get("X-Forwarded-Prefix", "")).rstrip("/")
    return Address(
        told_scheme if told_scheme in _SCHEMES else scheme,
        told_host if _HOST.fullmatch(told_host) else host,
        prefix if _PREFIX.fullmatch(prefix) else "",
    )


def headers_for_qgis(
    headers: HTTPHeaders, address: Address, *, trusted: bool, allowed: tuple[str, ...]
) -> Pairs:
    """What QGIS and its plugins see of a request's headers.

    :param allowed: beginnings of names, in any case; `*` for all (`server.allow_headers`).
    """
    beginnings = tuple(name.lower() for name in allowed)
    kept = [
        (name, value)
        for name, value in headers.get_all()
        if _is_passed_on(name.lower(), trusted) and _is_allowed(name.lower(), beginnings)
    ]
    if address.host != headers.get("Host", "") or trusted:
        kept += [("X-Forwarded-Host", address.host), ("X-Forwarded-Proto", address.scheme)]
    return kept


def _is_passed_on(name: str, trusted: bool) -> bool:
    if name in _HOP_BY_HOP:
        return False
    if name in ("x-forwarded-for", "x-real-ip", *_CERTIFICATE) or _SERVICE_URL.fullmatch(name):
        return trusted
    # The others of them are in the address already.
    return name not in _ADDRESS


def _is_allowed(name: str, beginnings: tuple[str, ...]) -> bool:
    if "*" in beginnings or name in _NEEDED or name in _ADDRESS or _SERVICE_URL.fullmatch(name):
        return True
    return name.startswith(beginnings)
