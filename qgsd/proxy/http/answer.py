# SPDX-License-Identifier: GPL-2.0-or-later
"""An answer of QGIS on its way to the client, and into what is kept.

Whole bodies get a length; documents, which are the same each time, also a tag and ranges (`whole.py`). All
others flow as QGIS writes them. Text is compressed for clients that take it, in threads, so that the loop
goes on with other clients meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from tornado.httputil import HTTPHeaders

from qgsd import messages
from qgsd.proxy.http import coding
from qgsd.proxy.http.errors import HttpError
from qgsd.proxy.http.kept import Shelf
from qgsd.proxy.http.responder import Answering
from qgsd.proxy.http.whole import choose_coding, note_coding, send_whole

if TYPE_CHECKING:
    from qgsd.proxy.http.qgis import QgisHandler
    from qgsd.proxy.http.upstream import Exchange

# Set by qgsd for every answer, whatever QGIS says.
_OURS = {"server", "connection", "transfer-encoding", "date"}
# How QGIS names an error, in XML and in JSON, and where in an answer.
_CODE = re.compile(rb'\bcode"?[=:] ?"([^"]{1,80})"')
_LOOK_AT = 1000
# A document larger than this flows like all else, without a tag.
_LARGEST_DOCUMENT = 16 << 20


class Incomplete(Exception):
    """QGIS failed in mid-answer; `code` says how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def cause_of(body: bytes) -> str:
    """In a word why QGIS failed, as far as it says so, for the access log.

    >>> cause_of(b'<ServiceException code="OperationNotSupported">'), cause_of(b'[{"code":"Server error"')
    ('qgis:OperationNotSupported', 'qgis:Server-error')
    """
    told = _CODE.search(body[:_LOOK_AT])
    return "qgis:" + re.sub(r"[^A-Za-z0-9]+", "-", told[1].decode("latin-1")) if told else "qgis"


class AnswerWriter:
    """Takes one answer from the exchange and writes it to the handler's client."""

    def __init__(self, handler: QgisHandler, exchange: Exchange, shelf: Shelf) -> None:
        self.handler = handler
        self.request = handler.request
        self.exchange = exchange
        self.shelf = shelf

    @property
    def is_head(self) -> bool:
        return self.request.method == "HEAD"

    def begin(self) -> Answering:
        """The first part is there: write it, and what is returned the rest.

        Raises `HttpError` for an answer that is none of QGIS, and what `Exchange.take_part` raises.
        """
        part, data = self.exchange.take_part()
        if isinstance(part, messages.Failure):
            raise HttpError(part.status, part.code, part.message, math.ceil(part.retry_after))
        assert isinstance(part, messages.Answer), part
        headers = self._begin(part)
        if part.status >= 500:
            self.handler.failure = cause_of(data)
        self.shelf.consider(part, headers, self.exchange)
        return self._send_whole(data) if part.last else self._relay(part, data)

    async def _relay(self, part: messages.Answer, data: bytes) -> None:
        following, whole = self._following(part), False
        try:
            if self.shelf.is_document and part.status == 200:
                data, whole = await self._gather(data, following)
            if not whole:
                await self._send_stream(data, following)
            elif (sending := self._send_whole(data)) is not None:
                await sending
        except Incomplete as incomplete:
            self.handler.failure = incomplete.code
            if self.is_head:
                raise HttpError(500, incomplete.code, "QGIS failed in the middle of this answer") from None
            self.handler.break_off()

    def _begin(self, answer: messages.Answer) -> messages.Headers:
        """What QGIS says, less what is for others to say."""
        handler = self.handler
        # A plugin may have repeated the id of the request that it was made for.
        together = answer.timing.shared or answer.timing.tiles
        foreign = {*_OURS, "x-request-id"} if together else _OURS
        told = [(name, value) for name, value in answer.headers if name.lower() not in foreign]
        handler.set_status(answer.status)
        handler.take_headers(told)
        handler.details.update(worker=answer.worker, timing=answer.timing)
        handler.set_timing(answer.timing, cache="miss" if self.shelf.seconds is not None else "")
        return told

    async def _following(self, part: messages.Answer) -> AsyncIterator[bytes]:
        """The pieces behind the first. Raises `Incomplete`."""
        last, pieces = part.last, 0
        while not last:
            message, data = await self.exchange.next_part()
            if isinstance(message, messages.Failure):
                raise Incomplete(message.code)
            if isinstance(message, messages.End):
                last = True
                self.handler.details.update(timing=message.timing)
                if not message.complete or message.pieces not in (pieces, -1):
                    raise Incomplete("incomplete")
            pieces += 1
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

    def _send_whole(self, body: bytes) -> Answering:
        kept = self.shelf.take(body)
        if kept is not None:
            self.handler.set_header("Etag", kept.etag)
        encoded = kept.encoded if kept is not None else None
        return send_whole(self.handler, body, tagged=self.shelf.is_tagged, encoded=encoded)

    async def _send_stream(self, first: bytes, following: AsyncIterator[bytes]) -> None:
        handler = self.handler
        how = choose_coding(handler, None)
        encoder = coding.encoder(how) if how else None
        if how:
            note_coding(handler._headers, how, bytewise=False)
        ends_with_connection = self._ends_with_connection(handler._headers)
        if ends_with_connection:
            # Else tornado promises to keep the connection, and the client waits for an end.
            self.request.headers.pop("Connection", None)
        self.shelf.add(first)
        await self._pass_on(first, encoder)
        async for piece in following:
            self.shelf.add(piece)
            await self._pass_on(piece, encoder)
        if encoder is not None:
            end = encoder.end()
            handler.sent += len(end)
            if not self.is_head:
                handler.write(end)
        if self.is_head:
            handler.set_header("Content-Length", str(handler.sent))
        self.shelf.take_added()
        await handler.finish()
        if ends_with_connection:
            self.request.connection.stream.close()

    def _ends_with_connection(self, headers: HTTPHeaders) -> bool:
        return self.request.version == "HTTP/1.0" and not self.is_head and "Content-Length" not in headers

    async def _pass_on(self, piece: bytes, encoder: coding.Encoder | None) -> None:
        """Have a piece sent, and count what of it goes over the wire."""
        if not piece:
            return
        if encoder is not None:
            piece = await asyncio.to_thread(encoder.piece, piece)
        if not self.is_head:
            self.handler.write(piece)
            await self.handler.flush()
        self.handler.sent += len(piece)
