# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request may make QGIS do, judged before a worker is touched. Pure.

Sizes, and everything by which a client could have the server read what it names: addresses, files, the
environment. What QGIS would not read stays QGIS's to answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from qgsd.config import RequestsSettings
from qgsd.proxy import documents
from qgsd.proxy.ows import OwsRequest

# Functions of QGIS's expressions that read the server's environment and files, layers that no project
# publishes, or an expression that is hidden in a text. Of QGIS 3.22 to 3.40.
FORBIDDEN = frozenset(
    {
        "decode_uri", "env", "eval", "eval_template", "exif", "exif_geotag", "file_exists", "file_path",
        "file_size", "is_directory", "is_file", "layer_property", "load_layer",
    }
)  # fmt: skip
# With Qt, too, case is not that of ASCII only.
_CALL = re.compile(
    rf"\b({'|'.join(FORBIDDEN)})\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*\(", re.IGNORECASE | re.DOTALL
)
# Byte order marks and blanks.
_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
_WIDTHS = {"WIDTH", "SRCWIDTH", "SYMBOLWIDTH"}
_HEIGHTS = {"HEIGHT", "SRCHEIGHT", "SYMBOLHEIGHT"}
_STYLES = ("SLD_BODY", "HIGHLIGHT_SYMBOL")
_FILTERS = ("FILTER", *_STYLES)
_SIZES = {*_WIDTHS, *_HEIGHTS, "DPI"}
# What names end in that `_check_address` has something to say of.
_ADDRESSES = (":AUTHCFG", ":URL", "SLD")
# As QGIS reads numbers.
_NUMBER = re.compile(r"\s*[+]?[0-9]{1,400}(\.[0-9]*)?\s*", re.ASCII)
# Strict, so that no two parsers can find different hosts in it.
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?")
_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:/|file:|qrc:|data:|javascript:|//|\\\\)", re.IGNORECASE)
# Markup that makes QGIS's HTML items load something, or run it.
_MARKUP = re.compile(r"<[a-z!/?]", re.IGNORECASE)
_LOADS = re.compile(
    r"\b(?:src|srcset|href|data|background|poster|style|http-equiv|on[a-z]+)\s*="
    r"|url\s*\(|@import|<script",
    re.IGNORECASE,
)


class Refused(Exception):
    """The request is not to be run: HTTP status, a code for programs, why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def check(wanted: OwsRequest, body: bytes, limits: RequestsSettings) -> None:
    """Raises `Refused`."""
    pairs = wanted.pairs
    _check_size(pairs, limits)
    if body and documents.declares_entities(body):
        raise _doctype("the document")
    if body and not limits.expressions and body.lstrip(_BEFORE_XML).startswith(b"<"):
        _check_functions("the document", body)
    for name, value in pairs:
        if "<" in value:
            _check_document(name, value, limits)
        if name.endswith(_ADDRESSES):
            _check_address(name, value, limits)
        elif name.endswith("EXP_FILTER") and not limits.expressions:
            _check_expression(name, value)
        elif name == "REQUEST" and value.strip().lower() == "getprint":
            _check_print(pairs, limits)


def _check_size(pairs: Iterable[tuple[str, str]], limits: RequestsSettings) -> None:
    widths, heights = [0], [0]
    for name, value in pairs:
        # What is no number is for QGIS to refuse.
        if name not in _SIZES or not _NUMBER.fullmatch(value):
            continue
        number = int(float(value)) if len(value) < 100 else 10**99
        if name in _WIDTHS:
            _bound(name, number, "max_width", limits.max_width)
            widths.append(number)
        elif name in _HEIGHTS:
            _bound(name, number, "max_height", limits.max_height)
            heights.append(number)
        else:
            _bound(name, number, "max_dpi", limits.max_dpi)
    _bound("WIDTH times HEIGHT", max(widths) * max(heights), "max_pixels", limits.max_pixels)


def _bound(what: str, number: int, option: str, limit: int) -> None:
    if limit and number > limit:
        raise Refused(400, "too_large", f"{what} may be {limit} at most here ([requests] {option})")


def _check_document(name: str, value: str, limits: RequestsSettings) -> None:
    """A parameter that holds a document."""
    document = value.encode("utf-8", "replace")
    if documents.declares_entities(document):
        raise _doctype(name)
    if name.endswith(_FILTERS) and not limits.expressions:
        _check_functions(name, document)
    if name.endswith(_STYLES):
        for reference in _of(documents.references_of, name, document, b"href"):
            _check_host(f"a picture in {name}", reference, limits)


def _doctype(what: str) -> Refused:
    return Refused(400, "doctype", f"{what} has a document type declaration, which is not read here")


def _check_functions(what: str, document: bytes) -> None:
    for function in _of(documents.functions_of, what, document, b"Function"):
        if function in FORBIDDEN:
            raise _function(what, function)


def _check_expression(what: str, text: str) -> None:
    if match := _CALL.search(text):
        raise _function(what, match[1].casefold())


def _function(what: str, name: str) -> Refused:
    message = f"{what} uses {name}(), which requests may not here ([requests] expressions)"
    return Refused(403, "forbidden_function", message)


def _of(read: Callable[[bytes], list[str]], what: str, document: bytes, word: bytes) -> list[str]:
    """What `read` finds. What is no XML is QGIS's to refuse, unless QGIS might understand it."""
    try:
        return read(document)
    except documents.Unreadable as error:
        if word in document.replace(b"\0", b""):
            raise Refused(400, "malformed", f"{what} is no XML: {error}") from error
        return []


def _check_address(name: str, value: str, limits: RequestsSettings) -> None:
    """Parameters that QGIS takes for addresses: SLD, and of layers of EXTERNAL_WMS `NAME:url`."""
    if name.endswith(":AUTHCFG"):
        raise Refused(403, "forbidden_credentials", f"{name}: requests cannot use credentials of the server")
    if value and (name == "SLD" or name.endswith((":URL", ":SLD"))):
        _check_host(name, value, limits)


def _check_print(pairs: Iterable[tuple[str, str]], limits: RequestsSettings) -> None:
    """Of a print any parameter may be the text of a label, or the address of an HTML frame."""
    for name, value in pairs:
        if not limits.expressions and "[%" in value:
            raise Refused(
                403, "forbidden_expression", f"{name}: expressions in requests are not evaluated here"
            )
        if name.endswith(_FILTERS) or name == "MAP":
            continue
        if _SCHEME.match(value):
            _check_host(name, value.strip(), limits)
        elif _LOADS.search(value) and "*" not in limits.remote_hosts:
            raise Refused(
                403, "forbidden_address", f"{name}: text of prints may not load pictures or scripts here"
            )


def _check_host(what: str, address: str, limits: RequestsSettings) -> None:
    match = _URL.fullmatch(address)
    if match is None or not is_allowed(match[1], limits.remote_hosts):
        raise Refused(
            403,
            "forbidden_address",
            f"{what}: the address it names is not allowed in requests here ([requests] remote_hosts)",
        )


def is_allowed(host: str, allowed: Iterable[str]) -> bool:
    """
    >>> is_allowed("a.example.org", ["*.example.org"]), is_allowed("example.org", ["*.example.org"])
    (True, False)
    """
    host = host.lower().strip("[]").removesuffix(".")
    return any(
        one == "*" or host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in allowed
    )
