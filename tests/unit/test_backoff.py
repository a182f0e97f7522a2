# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a slot rests: nothing after one crash, longer with each further one, never longer than allowed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgsd.master.backoff import GOOD_SERVICE, Record, after_crash, pause

SERVED = st.one_of(st.none(), st.floats(0.0, 10.0))
LONGEST = st.floats(0.0, 3600.0)


def record_after(*served: float | None) -> Record:
    record = Record()
    for seconds in served:
        record = after_crash(record, served=seconds)
    return record


def test_a_slot_without_a_past_does_not_rest() -> None:
    assert pause(Record(), 30.0) == 0.0


@pytest.mark.parametrize("served", [None, 0.0, 0.5, GOOD_SERVICE, 3600.0])
def test_one_crash_costs_no_pause(served: float | None) -> None:
    assert pause(record_after(served), 30.0) == 0.0


def test_the_pause_doubles_up_to_the_longest() -> None:
    pauses = [pause(record_after(*[None] * failures), 2.0) for failures in range(1, 9)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.mark.parametrize(
    ("served", "failures"),
    [(None, 4), (0.0, 4), (math.nextafter(GOOD_SERVICE, 0.0), 4), (GOOD_SERVICE, 1), (1e9, 1)],
)
def test_good_service_forgives_what_was_before(served: float | None, failures: int) -> None:
    assert record_after(None, None, None, served) == Record(failures)


@given(st.lists(SERVED, max_size=40), LONGEST)
def test_the_pause_grows_with_every_failure_and_ends_with_good_service(
    history: list[float | None], longest: float
) -> None:
    record, before = Record(), 0.0
    for seconds in history:
        record = after_crash(record, served=seconds)
        after = pause(record, longest)
        if seconds is not None and seconds >= GOOD_SERVICE:
            assert after == 0.0
        else:
            assert before <= after <= longest
        before = after


@given(st.integers(0, 10**12), LONGEST)
def test_no_number_of_failures_is_too_large(failures: int, longest: float) -> None:
    rest = pause(Record(failures), longest)
    assert isinstance(rest, float)
    assert 0.0 <= rest <= longest
    assert rest == longest or failures < 64


@given(st.lists(SERVED, max_size=20))
def test_a_record_is_never_changed(history: list[float | None]) -> None:
    before = Record(3)
    for seconds in history:
        after_crash(before, served=seconds)
    assert before == Record(3)
