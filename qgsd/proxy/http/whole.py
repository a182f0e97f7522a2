# SPDX-License-Identifier: GPL-2.0-or-later
"""Sending a body that is there as a whole: tag and 304, ranges, compression, length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tornado.httputil import HTTPHeaders

from qgsd.proxy.http import coding, conditions
from qgsd.proxy.http.coding import compressed
from qgsd.proxy.http.handlers import ServiceHandler, vary
from qgsd.proxy.http.responder import Answering

BODILESS = (204, 304)

Encoded = Callable[[str], Awaitable[bytes]]


def send_whole(
    handler: ServiceHandler, body: bytes, *, tagged: bool, encoded: Encoded | None = None
) -> Answering:
    """Status and headers are set already. `tagged`: it would be the same another time.

    What is returned is to be awaited: a body may have to be compressed. `encoded(coding)` gives it in a
    coding, where it may be had already. Nobody has to wait until the client has taken it: the connection does
    before the next request.
    """
    status = handler.get_status()
    headers = handler._headers
    if status in BODILESS:
        handler.finish()
        return None
    tagged = tagged and status == 200
    if tagged and "Etag" not in headers:
        headers["Etag"] = conditions.etag_of(body)
    how = choose_coding(handler, len(body), whole_only="Range" in handler.request.headers and tagged)
    if how:
        note_coding(headers, how, bytewise=tagged)
    if status == 200 and _client_has_it(handler):
        handler.set_status(304)
        handler.clear_header("Content-Length")
        handler.finish()
        return None
    if how:
        return _send_encoded(handler, encoded(how) if encoded else compressed(body, how), tagged=tagged)
    _finish(handler, body, tagged=tagged)
    return None


async def _send_encoded(handler: ServiceHandler, encoded: Awaitable[bytes], *, tagged: bool) -> None:
    _finish(handler, await encoded, tagged=tagged)


def _finish(handler: ServiceHandler, body: bytes, *, tagged: bool) -> None:
    if tagged:
        body = _part_of(handler, body)
    if handler.request.method == "HEAD":
        handler._headers["Content-Length"] = str(len(body))
        handler.finish()
    else:
        handler.finish(body)


def _client_has_it(handler: ServiceHandler) -> bool:
    asked = handler.request.headers.get("If-None-Match", "")
    if not asked or handler.request.method not in ("GET", "HEAD"):
        return False
    etag = handler._headers.get("Etag", "")
    return bool(etag) and conditions.matches(asked, etag)


def _part_of(handler: ServiceHandler, body: bytes) -> bytes:
    """The bytes that were asked for."""
    asked, headers = handler.request.headers, handler._headers
    headers["Accept-Ranges"] = "bytes"
    if "Range" not in asked:
        return body
    try:
        span = conditions.span_of(asked["Range"], asked.get("If-Range", ""), len(body), headers["Etag"])
    except conditions.Unsatisfiable:
        handler.set_status(416)
        headers["Content-Range"] = f"bytes */{len(body)}"
        return b""
    if span is None:
        return body
    handler.set_status(206)
    headers["Content-Range"] = span.header(len(body))
    return body[span.start : span.end]


# Compression.


def choose_coding(handler: ServiceHandler, length: int | None, *, whole_only: bool = False) -> str:
    """The coding for a body of this length, None for one that is not known yet.

    `whole_only`: none, though it would do: parts are asked for.
    """
    headers = handler._headers
    fit = (
        handler.settings.server.compression
        and handler.get_status() not in (*BODILESS, 206)
        and (length is None or length >= coding.WORTHWHILE)
        and coding.is_textlike(headers.get("Content-Type", ""))
        and "Content-Encoding" not in headers
        and "no-transform" not in headers.get("Cache-Control", "")
    )
    if not fit:
        return ""
    vary(headers, "Accept-Encoding")
    return "" if whole_only else coding.accepted(handler.request.headers.get("Accept-Encoding", ""))


def note_coding(headers: HTTPHeaders, how: str, *, bytewise: bool) -> None:
    """`bytewise`: the same bytes come another time, so the tag may say so."""
    headers["Content-Encoding"] = how
    for name in ("Content-Length", "Content-Md5", "Digest"):
        if name in headers:
            del headers[name]
    if etag := headers.get("Etag"):
        headers["Etag"] = conditions.with_coding(etag, how) if bytewise else conditions.weakened(etag)
