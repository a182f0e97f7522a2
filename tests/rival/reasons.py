# SPDX-License-Identifier: GPL-2.0-or-later
"""Where qgsd's answers are not those of py-qgis-server 1.8, and why. Mostly qgsd's is QGIS's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.differential.ask import Ask
from tests.differential.compare import Reply, settled

# Headers that both add, and that are judged in tests of their own.
HEADERS = {"x-map-id", "last-modified", "etag", "allow", "access-control-allow-headers"}


@dataclass(frozen=True)
class Reason:
    """Why the answer to some requests differs; `covers(ask, theirs, ours)` says which."""

    why: str
    covers: Callable[[Ask, Reply, Reply], bool]


def _repeats_a_field(ask: Ask) -> bool:
    names = [
        name.upper() for name, _ in parse_qsl(urlsplit(ask.target).query + "&" + ask.body.decode("latin-1"))
    ]
    return len(names) > len(set(names))


def _reencoded(body: bytes) -> bytes:
    """Links with their queries in the spelling of Python's urlencode."""
    text = settled(body).decode("utf-8", "replace")
    for spelled, plain in (("%2C", ","), ("%2F", "/"), ("%3A", ":"), ("%2A", "*"), ("%20", "+"), (" ", "+")):
        text = text.replace(spelled, plain)
    return text.encode()


def _without_links(body: bytes) -> object:
    features = json.loads(settled(body))
    return {name: value for name, value in features.items() if name != "links"}


def _is_form(ask: Ask) -> bool:
    return ask.method == "POST" and bool(ask.body) and not ask.body.lstrip().startswith(b"<")


def _stays_a_write(ask: Ask) -> bool:
    return re.match(r"after change \d+", ask.note) is not None


REASONS = (
    Reason(
        "HEAD is answered there without looking at the request",
        lambda ask, theirs, ours: ask.method == "HEAD",
    ),
    Reason(
        "paths of single features, and other endings than .json and .html, are not served by 1.8",
        lambda ask, theirs, ours: theirs.status == 404 and b"Invalid resource path" in theirs.body,
    ),
    Reason(
        "what a request to such a path has changed is changed here only",
        lambda ask, theirs, ours: _stays_a_write(ask),
    ),
    Reason(
        "1.8 does not pass Accept on, so a browser gets JSON instead of pages",
        lambda ask, theirs, ours: "Accept" in ask.headers and "html" in ours.headers.get("content-type", ""),
    ),
    Reason(
        "links have their query in another spelling there, which means the same",
        lambda ask, theirs, ours: _reencoded(theirs.body) == _reencoded(ours.body),
    ),
    Reason(
        "of a query that it has encoded anew QGIS makes a broken link to the next page",
        lambda ask, theirs, ours: "/items" in ask.target and b'"rel":"next"' in ours.body
        and _without_links(theirs.body) == _without_links(ours.body),
    ),
    Reason(
        "Location has its query in another spelling there",
        lambda ask, theirs, ours: theirs.status == ours.status == 201,
    ),
    Reason(
        "a text beyond ASCII in a query of OGC API Features is not found there",
        lambda ask, theirs, ours: "%E" in ask.target and b'"features":[]' in theirs.body,
    ),
    Reason(
        "of repeated fields the first counts there, the last in QGIS",
        lambda ask, theirs, ours: _repeats_a_field(ask),
    ),
    Reason(
        "MAP in a form is read there only with the type of a form, and then put into all addresses",
        lambda ask, theirs, ours: _is_form(ask) and "MAP" not in ask.target,
    ),
    Reason(
        "Forwarded of several proxies, and its proto, are not understood there",
        lambda ask, theirs, ours: "Forwarded" in ask.headers,
    ),
    Reason(
        "an error of QGIS in plain text has no content type there",
        lambda ask, theirs, ours: theirs.status == ours.status and theirs.body == ours.body
        and "content-type" not in theirs.headers,
    ),
)  # fmt: skip
