# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged requests, as bytes, at the service port: an answer or an end of the connection, and nobody dies.

`make fuzz` sends 100,000; FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from itertools import islice

import pytest

from tests.fuzz.barrage import Findings, barrage
from tests.fuzz.conftest import SEED, Watched, in_kib
from tests.fuzz.mutate import damaged, examples
from tests.integration.instance import Instance
from tests.waiting import wait_for

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "600"))
_PARTS = 12


@pytest.mark.timeout(120 + REQUESTS / 20)
def test_damaged_requests_are_answered_and_harm_nobody(fuzzed: Instance) -> None:
    watched, findings = Watched(fuzzed), Findings()
    requests = damaged(examples("http"), random.Random(SEED))
    for part in range(_PARTS):
        if part == _PARTS // 3:
            watched.settled()
        barrage(fuzzed.port, islice(requests, REQUESTS // _PARTS), findings)
        print(f"http {watched.sizes()['http'] >> 10} KiB", end=", ")
    grown = watched.judge()
    crashes = fuzzed.ctl_json("status")["counters"]["crashes"]
    print(f"seed {SEED}: {dict(sorted(findings.statuses.items()))}, {findings.silent} not answered")
    print(f"crashes of workers: {crashes}; grown: {in_kib(grown)}")
    told = [f"{why}:\n{request[:300]!r}\n{answer[:300]!r}" for why, request, answer in findings.wrong[:20]]
    assert told == [], f"seed {SEED}"
    assert findings.statuses[200] > REQUESTS / 50, "what is sent must not be nonsense only"
    wait_for("all is logged", lambda: _unexplained(fuzzed.log_text, findings) == {})
    assert "Traceback" not in fuzzed.log_text, f"seed {SEED}\n{fuzzed.log_text}"


def _unexplained(log: str, findings: Findings) -> dict[str, bytes]:
    """Answers 5xx, with their requests, for which no record gives a cause."""
    lines = log.splitlines()
    explained = " ".join(line for line in lines if " error=" in line or "WARNING" in line or "ERROR" in line)
    return {id: request for id, request in findings.failed.items() if id not in explained}
