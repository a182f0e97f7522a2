# SPDX-License-Identifier: GPL-2.0-or-later
"""Helm itself, in a process of its own: its Go runtime has no place in that of the tests.

`python -m tests.helm CHART` reads a JSON list of values and answers with a list: of each the documents by
template, or the error in Helm's words; behind them what `helm lint` says of the first values.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RELEASE, NAMESPACE = "maps", "gis"


def ask(chart: Path, cases: list[dict[str, Any]]) -> tuple[list[dict[str, str] | str], list[str]]:
    """Of each values the rendered templates by name, or why there are none; and the warnings of lint."""
    line = [sys.executable, "-m", "tests.helm", str(chart)]
    root, said = Path(__file__).parents[1], json.dumps(cases)
    done = subprocess.run(line, cwd=root, input=said, capture_output=True, text=True, timeout=60, check=True)
    rendered, warnings = json.loads(done.stdout)
    return rendered, warnings


def main() -> None:
    import helm_python

    path = sys.argv[1]
    cases = json.load(sys.stdin)
    rendered: list[dict[str, str] | str] = []
    with helm_python.Chart.load(path) as chart:
        for values in cases:
            try:
                chart.validate_schema(values)
                rendered.append(chart.render(values, name=RELEASE, namespace=NAMESPACE))
            except helm_python.HelmError as error:
                rendered.append(str(error))
    report = helm_python.lint(path, cases[0], strict=True)
    # 2 is a warning, 3 an error.
    warnings = [message["error"] for message in report["messages"] if message["severity"] >= 2]
    json.dump([rendered, warnings], sys.stdout)


if __name__ == "__main__":
    main()
