# SPDX-License-Identifier: GPL-2.0-or-later
"""The mark of a nested request: one that a worker of this server sent while it served another."""

from __future__ import annotations

import hmac

COOKIE = "qgsd_nested"


def mark(token: str, depth: int) -> str:
    """The cookie's value: the instance's secret, and the depth of the request being served."""
    return f"{token}.{depth}"


def depth_of(value: str | None, token: str) -> int:
    """The depth of a request that carries this cookie: 0 without a valid mark.

    >>> depth_of(mark("secret", 1), "secret"), depth_of("guess.1", "secret"), depth_of(None, "secret")
    (2, 0, 0)
    """
    given, _, depth = (value or "").rpartition(".")
    if not token or not depth.isascii() or not depth.isdigit() or len(depth) > 3:
        return 0
    return int(depth) + 1 if hmac.compare_digest(given.encode(), token.encode()) else 0


def without_mark(cookies: str) -> str:
    """A Cookie header less the mark, which is nobody else's business."""
    kept = [part for part in cookies.split(";") if part.strip().partition("=")[0] != COOKIE]
    return ";".join(kept).strip()
