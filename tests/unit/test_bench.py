# SPDX-License-Identifier: GPL-2.0-or-later
"""That the benchmark can be begun; what it measures is not for tests."""

from __future__ import annotations

from bench import workloads


def test_each_workload_says_whether_it_is_measured_unasked() -> None:
    known = workloads.known()
    assert {type(one.on_request) for one in known} == {bool}
    assert len({one.key for one in known}) == len(known)
