# SPDX-License-Identifier: GPL-2.0-or-later
"""The mark of a nested request: one that a worker of this server sent while it served another."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

COOKIE = "qgsd_nested"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the one that waits for it (`parent`), `depth` of them in all."""

    depth: int = 0
    parent: str = ""


def mark(token: str, depth: int, id: str) -> str:
    """The cookie's value: the instance's secret, and depth and id of the request being served."""
    return f"{token}/{depth}/{id}"


def origin_of(value: str | None, token: str) -> Origin:
    """The origin of a request that carries this cookie: that of a client's without a valid mark.

    >>> origin_of(mark("secret", 1, "a7"), "secret")
    Origin(depth=2, parent='a7')
    >>> origin_of("guess/1/a7", "secret") == origin_of(None, "secret") == Origin()
    True
    """
    parts = (value or "").split("/")
    if not token or len(parts) != 3:
        return Origin()
    given, depth, id = parts
    if not depth.isascii() or not depth.isdigit() or len(depth) > 3:
        return Origin()
    genuine = hmac.compare_digest(given.encode(), token.encode())
    return Origin(int(depth) + 1, id) if genuine else Origin()


def without_mark(cookies: str) -> str:
    """A Cookie header less the mark, which is nobody else's business."""
    kept = [part for part in cookies.split(";") if part.strip().partition("=")[0] != COOKIE]
    return ";".join(kept).strip()
