# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard: one writer a row, seen by every process that has the descriptor."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qgsd.scoreboard import ROWS, Row, Scoreboard, State

NUMBERS = [
    "pid", "requests", "errors", "timeouts", "retries", "coalesced", "cache_hits", "waiting", "workers",
]  # fmt: skip
TIMES = ["beat", "since", "deadline"]


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    made = Scoreboard.create()
    yield made
    os.close(made.descriptor)


def facts(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in ("state", "project", *NUMBERS, *TIMES)}


EMPTY: dict[str, object] = {
    "state": State.FREE, "project": "", **dict.fromkeys(NUMBERS, 0), **dict.fromkeys(TIMES, 0.0),
}  # fmt: skip


def fill(row: Row) -> None:
    row.state = State.BUSY
    row.project = "town/sewers.qgs"
    for position, name in enumerate(NUMBERS):
        setattr(row, name, 2**63 + position)
    for position, name in enumerate(TIMES):
        setattr(row, name, 1.5 + position)


def test_a_new_table_is_empty(board: Scoreboard) -> None:
    assert [number for number in range(ROWS) if facts(board.row(number)) != EMPTY] == []


def test_every_field_has_a_place_of_its_own(board: Scoreboard) -> None:
    row = board.row(7)
    fill(row)
    assert [getattr(row, name) for name in NUMBERS] == [2**63 + n for n in range(len(NUMBERS))]
    assert [getattr(row, name) for name in TIMES] == [1.5 + n for n in range(len(TIMES))]
    assert (row.state, row.project) == (State.BUSY, "town/sewers.qgs")


def test_fields_are_aligned_so_that_none_is_read_by_halves() -> None:
    for name, kind, *_ in Row._fields_:
        assert getattr(Row, name).offset % min(ctypes.sizeof(kind), 8) == 0, name
    assert ctypes.sizeof(Row) % 8 == 0


def test_a_row_touches_no_other(board: Scoreboard) -> None:
    fill(board.row(5))
    assert facts(board.row(4)) == EMPTY == facts(board.row(6))
    fill(board.row(4))
    fill(board.row(6))
    board.row(5).clear()
    assert facts(board.row(5)) == EMPTY
    assert facts(board.row(4)) == facts(board.row(6)) != EMPTY


@pytest.mark.parametrize("number", [-1, -ROWS, ROWS, ROWS + 1, 10**9])
def test_there_is_nothing_outside_the_table(board: Scoreboard, number: int) -> None:
    with pytest.raises(IndexError):
        board.row(number)


def test_the_master_has_the_first_row_and_the_last_can_be_used(board: Scoreboard) -> None:
    board.master.requests = 3
    assert board.row(0).requests == 3
    fill(board.row(board.last_row))
    assert board.last_row == ROWS - 1


def test_another_process_sees_and_is_seen(board: Scoreboard) -> None:
    fill(board.row(3))
    code = (
        "import sys; from qgsd.scoreboard import Scoreboard\n"
        "board = Scoreboard(int(sys.argv[1]))\n"
        "print(board.row(3).project, board.row(3).pid)\n"
        "board.row(4).project, board.row(4).state = 'from the child', 2"
    )
    command = [sys.executable, "-c", code, str(board.descriptor)]
    said = subprocess.run(
        command, pass_fds=[board.descriptor], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.split() == ["town/sewers.qgs", str(2**63)]
    assert (board.row(4).project, board.row(4).state) == ("from the child", State.IDLE)


def test_it_is_given_to_children_by_intention_only(board: Scoreboard) -> None:
    assert not os.get_inheritable(board.descriptor)
    assert facts(Scoreboard.create().row(3)) == EMPTY, "every table has memory of its own"


@given(st.text(max_size=300))
@example("x" * 119)
@example("x" * 120)
@example("é" * 60)
@example("𝄞" * 30)
@example("\udcff/world")
@settings(deadline=None)
def test_any_project_name_fits_a_row(name: str) -> None:
    row = (Row * 2)()
    row[0].project = name
    shown = row[0].project
    cut = name.partition("\x00")[0].encode("utf-8", "replace").decode()
    assert cut.startswith(shown)
    assert shown == cut or 116 <= len(shown.encode()) <= 119
    assert facts(row[1]) == EMPTY


def test_a_shorter_name_leaves_nothing_of_a_longer(board: Scoreboard) -> None:
    row = board.row(1)
    row.project = "a/very/long/name.qgs"
    row.project = "b"
    assert row.project == "b"
