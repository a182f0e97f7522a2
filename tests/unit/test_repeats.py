# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said again and again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

# The package qgsd.worker itself imports no qgis.
from qgsd.repeats import Repeats


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30))))
def test_nothing_is_lost_and_nothing_is_told_twice_within_the_pause(said: list[tuple[str, float]]) -> None:
    repeats, now = Repeats(pause=60), 0.0
    told: dict[str, float] = {}
    for text, later in said:
        now += later
        answer = repeats.told(text, now)
        due = text not in told or now - told[text] >= 60
        assert (answer is not None) == due
        if answer is not None:
            assert answer.startswith(text)
            told[text] = now


@pytest.mark.parametrize("texts", [10_000])
def test_it_remembers_only_so_many(texts: int) -> None:
    repeats = Repeats(pause=60)
    assert all(repeats.told(f"pixel {number}", 0.0) for number in range(texts))
    assert len(repeats._known) <= 500
