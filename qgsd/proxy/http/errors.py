# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsd's own errors as clients see them: an OGC exception report for OWS, JSON for all else."""

from __future__ import annotations

import re

# It writes, and parses nothing.
from xml.sax.saxutils import escape, quoteattr  # nosec B406

import msgspec

# The word that clients of OGC services know, by our own code; others keep ours.
_OGC_CODES = {
    "no_map": "MissingParameterValue",
    "bad_map": "InvalidParameterValue",
    "too_large": "InvalidParameterValue",
}


# What XML cannot say, not even escaped.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _speakable(text: str) -> str:
    return _UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


class HttpError(Exception):
    """An answer that is no answer of QGIS. `retry_after` in seconds for a 503."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def as_ogc_report(code: str, message: str) -> tuple[str, bytes]:
    """Content type and body of a ServiceExceptionReport (WMS 1.3.0, 7.3.3.3)."""
    code = quoteattr(_speakable(_OGC_CODES.get(code, code)))
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ServiceExceptionReport xmlns="http://www.opengis.net/ogc" version="1.3.0">\n'
        f" <ServiceException code={code}>{escape(_speakable(message))}</ServiceException>\n"
        "</ServiceExceptionReport>\n"
    )
    return "text/xml; charset=utf-8", body.encode()


def as_json(code: str, message: str, request_id: str) -> tuple[str, bytes]:
    """Content type and body of `{"error": {"code", "message"}, "request_id"}`."""
    told = {"code": _encodable(code), "message": _encodable(message)}
    body = msgspec.json.encode({"error": told, "request_id": request_id})
    return "application/json", body + b"\n"
