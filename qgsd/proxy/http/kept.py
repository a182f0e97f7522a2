# SPDX-License-Identifier: GPL-2.0-or-later
"""One request's dealings with what is kept: is its answer there, and may it be kept when it comes?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qgsd import keeping, messages
from qgsd.proxy.http.store import Kept

if TYPE_CHECKING:
    from qgsd.proxy.http.context import HttpContext
    from qgsd.proxy.http.upstream import Exchange

# Of the answer's own `Vary` these do no harm: compression is ours, and CORS.
_HARMLESS = {"accept-encoding", "origin", ""}
_tasks: set[asyncio.Task[None]] = set()


class Shelf:
    """Where the answer to a request stands, or will. `kind` is "" for one that is never kept."""

    def __init__(self, context: HttpContext, request: messages.Request, kind: keeping.Kind) -> None:
        self._context = context
        self._request = request
        self.is_document = kind == "document"
        self.seconds = context.keeping.seconds(kind, request.project) if kind else None
        # Once it is known that the answer may be kept, where; and what has come of it.
        self._key = ""
        self._headers: messages.Headers = []
        self._pieces: list[bytes] = []
        self._size = 0
        self.stamp = 0

    @property
    def is_tagged(self) -> bool:
        """The answer is the same another time."""
        return self.is_document or self.seconds is not None

    @property
    def key(self) -> str:
        """Where an answer of this stamp stands."""
        request = self._request
        depends = self._context.upstream.current.depends
        digest = keeping.digest(request.project, request.url, request.headers, depends)
        return f"{self.stamp:x}.{digest.hex()}"

    async def look(self) -> Kept | None:
        """The answer, if it is there and may be given."""
        if self.seconds is None:
            return None
        current = self._context.upstream.current
        self.stamp = current.stamp(self._request.project)
        if not self.stamp:
            return None
        kept = await self._context.store.find(self.key)
        # Looking on disk takes a while in which the project may have changed.
        same = (
            self._context.upstream.current is current and current.stamp(self._request.project) == self.stamp
        )
        return kept if same else None

    # Keeping.

    def consider(self, answer: messages.Answer, headers: messages.Headers, exchange: Exchange) -> None:
        """An answer begins: may it be kept?"""
        if self.seconds is None or answer.status != 200:
            return
        current = self._context.upstream.current
        if exchange.current is not current:
            return
        stamp = current.stamp_of(self._request.project, answer)
        # Purged meanwhile: it may be of the time before.
        asked_for_another = self.stamp not in (0, stamp)
        if stamp and not asked_for_another and self._is_for_all(headers, current.depends):
            self.stamp = stamp
            self._key, self._headers = self.key, headers

    @staticmethod
    def _is_for_all(headers: messages.Headers, depends: tuple[str, ...]) -> bool:
        """It may be given to others that ask the same, as far as it says itself."""
        for name, value in ((name.lower(), value.lower()) for name, value in headers):
            if name == "set-cookie":
                return False
            if name == "cache-control" and any(w in value for w in ("no-store", "private", "no-cache")):
                return False
            if name == "vary" and {part.strip() for part in value.split(",")} - _HARMLESS - set(depends):
                return False
        return True

    def take(self, body: bytes) -> Kept | None:
        """Keep a whole body, if it may be kept."""
        if not self._key or len(body) > self._context.settings.answers.largest:
            return None
        assert self.seconds is not None
        kept = Kept.of(self._headers, body, self.seconds)
        task = asyncio.create_task(self._context.store.keep(self._key, self._request.project, kept))
        # The loop itself holds tasks only weakly.
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return kept

    def add(self, piece: bytes) -> None:
        """A piece of a stream passes by."""
        self._size += len(piece)
        if self._key and self._size <= self._context.settings.answers.largest:
            self._pieces.append(piece)
        else:
            self._key = ""
            self._pieces.clear()

    def take_added(self) -> None:
        """The stream has ended, and was complete."""
        if self._key:
            self.take(b"".join(self._pieces))
