# SPDX-License-Identifier: GPL-2.0-or-later
"""The judgement of the soak test."""

from __future__ import annotations

import random

import pytest

from tests.soak.growth import growth


def noisy(slope: float, *, warm_up: float = 0.0) -> list[tuple[float, float]]:
    noise = random.Random(1)
    return [
        (float(t), 100 + slope * t + noise.uniform(-1, 1) - (warm_up if t < 100 else 0))
        for t in range(0, 600, 5)
    ]


def test_what_is_steady_does_not_grow() -> None:
    assert not growth(noisy(0)).exceeds(1)


def test_a_leak_grows_by_its_slope() -> None:
    found = growth(noisy(0.02))
    assert found.exceeds(5)
    assert found.rise == pytest.approx(0.02 * 395, abs=1)


def test_warming_up_is_no_leak() -> None:
    assert not growth(noisy(0, warm_up=80)).exceeds(1)


def test_what_shrinks_does_not_grow() -> None:
    assert not growth(noisy(-0.1)).exceeds(0)


def test_too_few_are_not_judged() -> None:
    with pytest.raises(ValueError, match="too few"):
        growth([(0.0, 1.0)] * 7)
