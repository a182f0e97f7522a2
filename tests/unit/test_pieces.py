# SPDX-License-Identifier: GPL-2.0-or-later
"""An answer of many pieces, some of which a broken connection has swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from qgsd import messages
from qgsd.proxy.http.answer import AnswerWriter, Incomplete

FIRST = messages.Answer("1", 200, [], messages.Timing(), "m/0", last=False)
PIECE = (messages.Chunk("1"), b"b")


def end(pieces: int) -> tuple[messages.End, bytes]:
    return messages.End("1", messages.Timing(), True, pieces), b"c"


async def _read(parts: list[tuple[Any, bytes]]) -> bytes:
    left = iter(parts)

    async def next_part() -> tuple[Any, bytes]:
        return next(left)

    upstream = SimpleNamespace(taken=lambda exchange: None)
    handler = SimpleNamespace(details={}, request=None, context=SimpleNamespace(upstream=upstream))
    writer = AnswerWriter(handler, SimpleNamespace(next_part=next_part), None)  # type: ignore[arg-type]
    pieces: AsyncIterator[bytes] = writer._following(FIRST)
    return b"".join([piece async for piece in pieces])


def test_an_answer_with_all_its_pieces_is_whole() -> None:
    assert asyncio.run(_read([PIECE, PIECE, end(2)])) == b"bbc"
    assert asyncio.run(_read([end(0)])) == b"c"


def test_a_worker_of_before_does_not_count() -> None:
    assert asyncio.run(_read([PIECE, end(-1)])) == b"bc"


@pytest.mark.parametrize("parts", [[PIECE, end(2)], [end(1)], [PIECE, PIECE, end(1)]])
def test_a_missing_piece_is_no_whole_answer(parts: list[tuple[Any, bytes]]) -> None:
    with pytest.raises(Incomplete):
        asyncio.run(_read(parts))
