# SPDX-License-Identifier: GPL-2.0-or-later
"""Load generators. Both are processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.load import HOST, Load, Request, Result

_HERE = Path(__file__).parent
_GRACE = 60


def closed_loop(address: str, load: Load) -> list[Result]:
    """One result for each stream of the load."""
    line = [sys.executable, str(_HERE / "closed_loop.py"), address, HOST]
    told = json.dumps(load.as_dict())
    done = subprocess.run(
        line, input=told, capture_output=True, text=True, check=True, timeout=load.seconds + _GRACE
    )
    return [Result(**one) for one in json.loads(done.stdout)]


def wrk(address: str, request: Request, body: bytes, connections: int, seconds: float) -> Result:
    """One request again and again, by wrk; every answer is compared with `body`, whole.

    Of the times only the median and the 99th percentile are known.
    """
    with tempfile.NamedTemporaryFile() as expected:
        expected.write(body)
        expected.flush()
        headers = "\n".join(f"{name}: {value}" for name, value in (("Host", HOST), *request.headers))
        told = {"WRK_EXPECTED": expected.name, "WRK_STATUS": str(request.status), "WRK_HEADERS": headers}
        line = [
            "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
            "-s", str(_HERE / "wrk.lua"), f"http://{address}{request.path}",
        ]  # fmt: skip
        done = subprocess.run(
            line, capture_output=True, text=True, check=True, timeout=seconds + _GRACE, env=os.environ | told
        )
    figures = next(row for row in done.stdout.splitlines() if row.startswith("RESULT")).split()[1:]
    answers, microseconds, wrong, errors = (int(figure) for figure in figures[:4])
    middle, late = float(figures[4]) / 1e6, float(figures[5]) / 1e6
    result = Result(microseconds / 1e6, [middle] * 98 + [late] * 2, [], wrong + errors, [], answers)
    if wrong or errors:
        result.wrong.append(f"{wrong} wrong answers, {errors} broken connections")
    return result
