# SPDX-License-Identifier: GPL-2.0-or-later
"""QGIS's view of a request and of its answer: QgsServerRequest and QgsServerResponse over messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from qgis.core import QgsFeedback
from qgis.PyQt.QtCore import QBuffer, QByteArray
from qgis.server import QgsBufferServerRequest, QgsBufferServerResponse, QgsServerRequest

from qgsd import messages
from qgsd.worker import service_urls

# Passed on when this much has gathered: QGIS flushes after every feature, thousands of times an answer.
# The first piece is small, so that an answer begins early; each message costs a few tenths of a millisecond.
FIRST_PIECE = 32 * 1024
PIECE = 512 * 1024

_METHODS = {
    "GET": QgsServerRequest.Method.GetMethod,
    "HEAD": QgsServerRequest.Method.HeadMethod,
    "POST": QgsServerRequest.Method.PostMethod,
    "PUT": QgsServerRequest.Method.PutMethod,
    "PATCH": QgsServerRequest.Method.PatchMethod,
    "DELETE": QgsServerRequest.Method.DeleteMethod,
}

Send = Callable[[int, messages.Headers, bytes, bool], None]


def qgis_request(request: messages.Request, body: bytes, urls: service_urls.Pairs) -> QgsBufferServerRequest:
    """The request as QGIS wants it. Of repeated headers the values are joined, as CGI does.

    :param urls: headers for addresses of services, where the request has none.
    """
    headers: dict[str | None, str | None] = {}
    for name, value in service_urls.add(request.headers, urls):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return QgsBufferServerRequest(request.url, _METHODS[request.method], headers, body)


class StreamedResponse(QgsBufferServerResponse):
    """Collects what QGIS writes and hands it on in large pieces.

    `send(status, headers, data, last)` is called once for each piece; status and headers
    count in the first call only. An answer smaller than a piece is sent in one call.

    To QGIS and its plugins it looks as if every flush sent something: status and headers are fixed from
    the first one on, and `data()` holds only what was written since the last. A filter may rewrite that
    in `sendResponse`, and must not see again what it has rewritten.

    Derived from QGIS's buffered response for its buffer alone: `write` and `io` stay in C++. So of the
    thousands of calls that an answer takes only `flush` is one of Python, which looks how much there is.
    An answer that is never flushed, as a picture, has no need for the buffer in Python: handing it over takes
    PyQt 20 µs.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._status = 200
        self._headers: dict[str, str] = {}
        self._flushed = False
        self._sent = False
        self._finished = False
        # Made when it is asked for. QGIS gets a bare pointer: it must live as long as the response.
        self._feedback: QgsFeedback | None = None
        # How much of the buffer has been flushed, and at how much of it a piece is complete.
        self._mark = 0
        self._enough = FIRST_PIECE

    # QgsServerResponse, in the order of its documentation.

    def setHeader(self, key: str | None, value: str | None) -> None:
        if not self._flushed:
            self._headers[key or ""] = value or ""

    def removeHeader(self, key: str | None) -> None:
        if not self._flushed:
            self._headers.pop(key or "", None)

    def header(self, key: str | None) -> str:
        return self._headers.get(key or "", "")

    def headers(self) -> dict[str, str]:
        return dict(self._headers)

    def headersSent(self) -> bool:
        return self._flushed

    def setStatusCode(self, code: int) -> None:
        if not self._flushed:
            self._status = code

    def statusCode(self) -> int:
        return self._status

    def sendError(self, code: int, message: str | None) -> None:
        if self._flushed:
            return
        self.clear()
        self.setStatusCode(code)
        self.setHeader("Content-Type", "text/plain; charset=utf-8")
        self._buffer.write((message or "").encode())
        self.finish()

    def finish(self) -> None:
        if not self._finished:
            self._flushed = True
            self._finished = True
            self._pass_on(last=True)

    def flush(self) -> None:
        size = self._buffer.size()
        if size < self._enough:
            self._mark = size
            self._flushed = True
        elif not self._finished:
            self._flushed = True
            self._pass_on(last=False)

    def clear(self) -> None:
        if not self._flushed:
            self._headers.clear()
        self.truncate()

    def data(self) -> QByteArray:
        return super().data().mid(self._mark) if self._mark else super().data()

    def body(self) -> QByteArray:
        """What has not been sent yet; nobody keeps the whole."""
        return super().data()

    def truncate(self) -> None:
        if not self._mark:
            super().truncate()
            return
        self._buffer.buffer().truncate(self._mark)
        self._buffer.seek(self._mark)

    def feedback(self) -> QgsFeedback:
        """Asked for by QGIS 3.36 and later."""
        if self._feedback is None:
            self._feedback = QgsFeedback()
        return self._feedback

    # Our own side.

    @cached_property
    def _buffer(self) -> QBuffer:
        buffer = super().io()
        assert isinstance(buffer, QBuffer)
        return buffer

    @property
    def started(self) -> bool:
        """Something has been sent; the status cannot change any more."""
        return self._sent

    @property
    def finished(self) -> bool:
        return self._finished

    @property
    def cancelled(self) -> bool:
        """QGIS was asked to stop; nothing of what it wrote since has been sent, for it may be a part only."""
        return self._feedback is not None and self._feedback.isCanceled()

    def _pass_on(self, *, last: bool) -> None:
        cancelled = self.cancelled
        data = b"" if cancelled else bytes(super().data())
        self._mark = 0
        self.truncate()
        if cancelled:
            return
        headers = [] if self._sent else list(self._headers.items())
        self._sent = True
        self._enough = min(PIECE, 2 * self._enough)
        self._send(self._status, headers, data, last)
