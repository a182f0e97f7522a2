# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.report RUN.json`: the table of docs/performance.md, from what a run has written."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.report import chart, table
from bench.report.record import Record


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("run", type=Path, help="what python -m bench --json has written")
    parser.add_argument("--chart", type=Path, help="write the chart to this file")
    options = parser.parse_args()
    told = json.loads(options.run.read_text())
    record = Record.from_json(told)
    print(", ".join(told["machine"].values()) + "\n")
    print(table.for_docs(record))
    if options.chart:
        chart.draw(record, options.chart)


if __name__ == "__main__":
    main()
