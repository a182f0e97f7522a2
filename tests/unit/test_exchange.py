# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the parts of an answer, by being told or by a coroutine."""

from __future__ import annotations

import asyncio

import pytest

from qgsd import messages
from qgsd.proxy.http.spool import Bounds
from qgsd.proxy.http.upstream import Exchange, ExchangeClosed

PART = messages.Answer("1", 200, [], messages.Timing(), "m/0", last=True)


def _exchange(timeout: float = 10.0) -> Exchange:
    request = messages.Request("1", "p", "GET", "http://h/", [], "WMS", "GetMap", True, timeout)
    return Exchange(request, b"", Bounds(1000, 1000))


def test_who_waits_is_told_once() -> None:
    exchange, told = _exchange(), []
    exchange.await_part(lambda: told.append(exchange.take_part()))
    assert not told
    exchange.put(PART, b"body")
    exchange.put(PART, b"more")
    assert told == [(PART, b"body")]
    exchange.await_part(lambda: told.append(exchange.take_part()))
    assert told[1:] == [(PART, b"more")], "it was there already"


def test_who_waits_is_told_that_nobody_wants_it_any_more() -> None:
    exchange, told = _exchange(), []
    exchange.await_part(lambda: told.append("told"))
    exchange.close()
    exchange.close()
    assert told == ["told"]
    with pytest.raises(ExchangeClosed):
        exchange.take_part()


def test_a_coroutine_waits_the_same_way() -> None:
    async def read() -> tuple[object, bytes]:
        exchange = _exchange()
        asyncio.get_running_loop().call_soon(exchange.put, PART, b"body")
        return await exchange.next_part()

    assert asyncio.run(read()) == (PART, b"body")


def test_only_a_wait_for_what_is_late_is_given_up() -> None:
    exchange, told = _exchange(timeout=0.0), []
    later = exchange.deadline + 100.0
    assert not exchange.give_up_late(later), "nobody waits: the client is slow"
    exchange.await_part(lambda: told.append(exchange.take_part()[0]))
    assert not exchange.give_up_late(exchange.deadline)
    assert exchange.give_up_late(later)
    assert isinstance(told[0], messages.Failure)
    assert told[0].status == 504
