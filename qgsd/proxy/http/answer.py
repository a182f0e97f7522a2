# SPDX-License-Identifier: GPL-2.0-or-later
"""An answer of QGIS on its way to the client.

Whole bodies get a length; documents also a tag by which a client that has one already is told so, and
ranges. All others flow as QGIS writes them. Text is compressed for clients that take it, in threads, so
that the loop goes on with other clients meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from tornado.httputil import HTTPHeaders

from qgsd import messages
from qgsd.proxy.http import coding, conditions
from qgsd.proxy.http.errors import HttpError

if TYPE_CHECKING:
    from qgsd.proxy.http.qgis import QgisHandler
    from qgsd.proxy.http.upstream import Exchange

# Set by qgsd for every answer, whatever QGIS says.
_OURS = {"server", "connection", "transfer-encoding", "date"}
_BODILESS = (204, 304)
# A document larger than this flows like all else, without a tag.
_LARGEST_DOCUMENT = 16 << 20
# Less is compressed sooner than handed to a thread.
_AT_ONCE = 8192


class Incomplete(Exception):
    """QGIS failed in mid-answer; `code` says how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def compressed(body: bytes, how: str) -> bytes:
    """The body in a coding, without holding up the loop."""
    if len(body) <= _AT_ONCE:
        return coding.encode(body, how)
    return await asyncio.to_thread(coding.encode, body, how)


class AnswerWriter:
    """Takes one answer from the exchange and writes it to the handler's client."""

    def __init__(self, handler: QgisHandler, exchange: Exchange, *, document: bool) -> None:
        self.handler = handler
        self.request = handler.request
        self.exchange = exchange
        self.document = document

    @property
    def is_head(self) -> bool:
        return self.request.method == "HEAD"

    async def relay(self) -> None:
        """Raises `HttpError` for an answer that is none of QGIS, and what `Exchange.next_part` raises."""
        part, data = await self.exchange.next_part()
        if isinstance(part, messages.Failure):
            raise HttpError(part.status, part.code, part.message, math.ceil(part.retry_after))
        assert isinstance(part, messages.Answer), part
        self._begin(part)
        following = self._following(part)
        try:
            if self.document and part.status == 200:
                data, whole = await self._gather(data, following)
            else:
                whole = part.last
            if whole:
                await self._send_whole(part.status, data)
            else:
                await self._send_stream(part.status, data, following)
        except Incomplete as incomplete:
            self.handler.failure = incomplete.code
            if self.is_head:
                raise HttpError(500, incomplete.code, "QGIS failed in the middle of this answer") from None
            self.handler.break_off()

    def _begin(self, answer: messages.Answer) -> None:
        handler = self.handler
        handler.set_status(answer.status)
        seen = HTTPHeaders()
        for name, value in answer.headers:
            # A plugin may have repeated the id of the request that it was made for.
            foreign = answer.timing.shared and name.lower() == "x-request-id"
            if name.lower() not in _OURS and not foreign:
                seen.add(name, value)
        for name in seen:
            handler.clear_header(name)
        for name, value in seen.get_all():
            handler.add_header(name, value)
        handler.details.update(worker=answer.worker, timing=answer.timing)
        handler.set_timing(answer.timing)

    async def _following(self, part: messages.Answer) -> AsyncIterator[bytes]:
        """The pieces behind the first. Raises `Incomplete`."""
        last = part.last
        while not last:
            message, data = await self.exchange.next_part()
            if isinstance(message, messages.Failure):
                raise Incomplete(message.code)
            if isinstance(message, messages.End):
                last = True
                self.handler.details.update(timing=message.timing)
                if not message.complete:
                    raise Incomplete("incomplete")
            yield data
            self.handler.context.upstream.taken(self.exchange)

    async def _gather(self, data: bytes, following: AsyncIterator[bytes]) -> tuple[bytes, bool]:
        """The body as far as it has been read, and whether that is all of it."""
        pieces, size = [data], len(data)
        async for piece in following:
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST_DOCUMENT:
                return b"".join(pieces), False
        return b"".join(pieces), True

    # The whole body is there.

    async def _send_whole(self, status: int, body: bytes) -> None:
        handler = self.handler
        if status in _BODILESS:
            await handler.finish()
            return
        if self.document and status == 200 and "Etag" not in handler._headers:
            handler.set_header("Etag", conditions.etag_of(body))
        how = self._choose_coding(status, len(body))
        if how:
            self._note_coding(how, bytewise=True)
        if self._client_has_it(status):
            handler.set_status(304)
            handler.clear_header("Content-Length")
            await handler.finish()
            return
        if how:
            body = await compressed(body, how)
        body = self._part_of(status, body)
        if self.is_head:
            handler.set_header("Content-Length", str(len(body)))
            await handler.finish()
        else:
            await handler.finish(body)

    def _client_has_it(self, status: int) -> bool:
        etag = self.handler._headers.get("Etag", "")
        asked = self.request.headers.get("If-None-Match", "")
        return bool(
            status == 200
            and etag
            and asked
            and self.request.method in ("GET", "HEAD")
            and conditions.matches(asked, etag)
        )

    def _part_of(self, status: int, body: bytes) -> bytes:
        """The bytes that were asked for, of a document, which is the same each time."""
        handler, asked = self.handler, self.request.headers
        if not self.document or status != 200:
            return body
        handler.set_header("Accept-Ranges", "bytes")
        if "Range" not in asked:
            return body
        etag = handler._headers.get("Etag", "")
        try:
            span = conditions.span_of(asked["Range"], asked.get("If-Range", ""), len(body), etag)
        except conditions.Unsatisfiable:
            handler.set_status(416)
            handler.set_header("Content-Range", f"bytes */{len(body)}")
            return b""
        if span is None:
            return body
        handler.set_status(206)
        handler.set_header("Content-Range", span.header(len(body)))
        return body[span.start : span.end]

    # It comes piece by piece.

    async def _send_stream(self, status: int, first: bytes, following: AsyncIterator[bytes]) -> None:
        handler = self.handler
        how = self._choose_coding(status, None)
        encoder = coding.encoder(how) if how else None
        if how:
            self._note_coding(how, bytewise=False)
        ends_with_connection = (
            self.request.version == "HTTP/1.0"
            and not self.is_head
            and "Content-Length" not in handler._headers
        )
        if ends_with_connection:
            # Else tornado promises to keep the connection, and the client waits for an end.
            self.request.headers.pop("Connection", None)
        sent = await self._pass_on(first, encoder)
        async for piece in following:
            sent += await self._pass_on(piece, encoder)
        if encoder is not None:
            end = encoder.end()
            sent += len(end)
            if not self.is_head:
                handler.write(end)
        if self.is_head:
            handler.set_header("Content-Length", str(sent))
        await handler.finish()
        if ends_with_connection:
            self.request.connection.stream.close()  # type: ignore[union-attr]

    async def _pass_on(self, piece: bytes, encoder: coding.Encoder | None) -> int:
        """Have a piece sent; its length on the wire."""
        if not piece:
            return 0
        if encoder is not None:
            piece = await asyncio.to_thread(encoder.piece, piece)
        if not self.is_head:
            self.handler.write(piece)
            await self.handler.flush()
        return len(piece)

    # Compression.

    def _choose_coding(self, status: int, length: int | None) -> str:
        """The coding for a body of this length, None for one that is not known yet."""
        handler = self.handler
        headers = handler._headers
        fit = (
            handler.settings_now.server.compression
            and status not in (*_BODILESS, 206)
            and (length is None or length >= coding.WORTHWHILE)
            and "Content-Encoding" not in headers
            and "no-transform" not in headers.get("Cache-Control", "")
            and coding.is_textlike(headers.get("Content-Type", ""))
        )
        if not fit:
            return ""
        _vary(headers, "Accept-Encoding")
        if "Range" in self.request.headers and self.document:
            return ""
        return coding.accepted(self.request.headers.get("Accept-Encoding", ""))

    def _note_coding(self, how: str, *, bytewise: bool) -> None:
        headers = self.handler._headers
        headers["Content-Encoding"] = how
        for name in ("Content-Length", "Content-Md5", "Digest"):
            if name in headers:
                del headers[name]
        if etag := headers.get("Etag"):
            headers["Etag"] = (
                conditions.with_coding(etag, how) if bytewise and self.document else conditions.weakened(etag)
            )


def _vary(headers: HTTPHeaders, name: str) -> None:
    told = headers.get("Vary", "")
    if told != "*" and name.lower() not in (part.strip().lower() for part in told.split(",")):
        headers["Vary"] = f"{told}, {name}" if told else name
