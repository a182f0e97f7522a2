# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench`: compare qgsd with FastCGI, py-qgis-server and the limit of QGIS itself, side by side."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from bench import servers, workloads
from bench.data.build import is_built
from bench.report import chart, table
from bench.run import Run

HERE = Path(__file__).parent
DATA = HERE.parent / ".bench" / "data"


def _arguments() -> argparse.Namespace:
    keys = [one.key for one in workloads.known()]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server (%(default)s)")
    parser.add_argument("--pace", type=float, default=1.0, help="scales the seconds of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round of everything, under 3 minutes")
    parser.add_argument("--only", nargs="+", metavar="WORK", choices=keys, help=f"of {', '.join(keys)}")
    parser.add_argument(
        "--servers",
        nargs="+",
        choices=list(servers.known),
        help="all; with --quick but those of own pictures",
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data, built if need be")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--chart", type=Path, help="write an SVG chart to this file")
    return parser.parse_args()


def _present(names: list[str]) -> list[str]:
    """The servers that are installed; the others are named, not passed over in silence."""
    found = []
    for name in names:
        if missing := servers.known[name].missing():
            print(f"{name} is left out: {missing} is missing (make bench installs it)", file=sys.stderr)
        else:
            found.append(name)
    return found


def built(data: Path) -> Path:
    """The folder of the projects, made if need be."""
    if not is_built(data):
        print("building the data ...", file=sys.stderr)
        subprocess.run(["/usr/bin/python3", str(HERE / "data" / "build.py"), str(data)], check=True)
    return (data / "root").resolve()


def main() -> None:
    options = _arguments()
    if options.quick:
        options.rounds, options.pace = 1, 0.2
    if not options.servers:
        options.servers = [
            name for name, kind in servers.known.items() if not (options.quick and kind.own_pictures)
        ]
    root = built(options.data)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    only = options.only
    wanted = [one for one in workloads.known() if (one.key in only if only else not one.on_request)]
    record = Run(root, _present(options.servers), options.rounds, options.pace, say).go(wanted)
    print(table.markdown(record))
    if options.json:
        options.json.write_text(json.dumps(record.as_json(), indent=1, ensure_ascii=False) + "\n")
    if options.chart:
        chart.draw(record, options.chart)


if __name__ == "__main__":
    main()
