# SPDX-License-Identifier: GPL-2.0-or-later
"""The header lines of requests, which clients repeat byte for byte while the first line changes.

They are taken apart once, and what follows from them alone is worked out once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from tornado.httputil import HTTPHeaders

# Longer ones are not kept, so that the memory for the others is bounded.
_LONGEST = 4096
_MOST = 1000

Found = TypeVar("Found")


class RepeatedHeaders(HTTPHeaders):
    """Headers of all requests that have the same lines; nobody may change them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._derived: dict[Hashable, Any] = {}
        self._found: dict[str, str | None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping. A request has some fifteen headers looked for, most of which are not there."""
        try:
            value = self._found[name]
        except KeyError:
            value = self._found[name] = super().get(name)
        return default if value is None else value

    def derived(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """What `make` returns, remembered under a key that holds all it is made of beside these headers."""
        found: Found | None = self._derived.get(key)
        if found is None:
            if len(self._derived) >= _MOST:
                self._derived.clear()
            found = self._derived[key] = make()
        return found


def parse(lines: bytes) -> RepeatedHeaders:
    """The headers that these lines say. Raises tornado's `HTTPInputError`.

    >>> parse(b"Host: a\\r\\n\\r\\n") is parse(b"Host: a\\r\\n\\r\\n"), parse(b"Host: b\\r\\n")["host"]
    (True, 'b')
    """
    return _known(lines) if len(lines) <= _LONGEST else _parsed(lines)


def _parsed(lines: bytes) -> RepeatedHeaders:
    return cast(RepeatedHeaders, RepeatedHeaders.parse(lines.decode("latin-1")))


_known = functools.lru_cache(maxsize=_MOST)(_parsed)
