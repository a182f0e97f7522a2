# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsd's own scheduler against simpler rules, in simulated clusters of 10 to 5,000 workers.

    python -m bench.simulate                       the table
    python -m bench.simulate --charts docs/images  and the charts of docs/scheduling.md

Requests take what was recorded (`bench/simulation/record.py`); time is simulated, but the decisions
are those of the real scheduler, and what they cost is measured.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bench.simulation.cluster import Cluster, MakeRule, Outcome, quantile
from bench.simulation.rivals import Fair, Fifo, Random
from bench.simulation.traffic import Scale, Traffic

RULES: tuple[MakeRule, ...] = (Fair, Fifo, Random)
# From one machine to a large cluster, with the projects and the traffic that go with it.
SCALES = (
    Scale(workers=10, projects=200, requests=20_000),
    Scale(workers=50, projects=1_000, requests=40_000),
    Scale(workers=250, projects=5_000, requests=40_000),
    Scale(workers=1_000, projects=20_000, requests=50_000),
    Scale(workers=5_000, projects=100_000, requests=80_000),
)
_HEAD = (
    "| workers | projects | rule | answers/s | found open | tiles p50 ms | p99 ms | heavy p50 ms | p99 ms "
    "| µs a decision | and of garbage |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(scale: Scale, outcome: Outcome) -> str:
    times = [1000 * quantile(seconds, q) for seconds in (outcome.light, outcome.heavy) for q in (0.5, 0.99)]
    cost = f"{outcome.microseconds:.0f} | {outcome.collecting:.0f}" if outcome.decisions else "- | -"
    return (
        f"| {scale.workers} | {scale.projects} | {outcome.rule} | {outcome.rate:.0f} "
        f"| {100 * outcome.hit_ratio:.1f} % | {' | '.join(f'{time:.0f}' for time in times)} | {cost} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--most", type=int, default=5_000, help="no cluster of more workers (5000)")
    parser.add_argument(
        "--load", type=float, default=0.3, help="share of the time that rendering takes (0.3)"
    )
    parser.add_argument(
        "--clients", type=float, default=0, help="clients a worker that wait for their answers"
    )
    parser.add_argument(
        "--runs", type=int, default=1, help="runs of qgsd's rule; the median cost is told (1)"
    )
    parser.add_argument("--charts", type=Path, help="write SVG charts to this folder")
    arguments = parser.parse_args()
    print(_HEAD)
    outcomes: dict[Scale, list[Outcome]] = {}
    for known in SCALES:
        scale = replace(known, load=arguments.load, clients=int(arguments.clients * known.workers))
        if scale.workers > arguments.most:
            continue
        outcomes[scale] = []
        for make in RULES:
            runs = [Cluster(Traffic(scale), make).run() for _ in range(arguments.runs if make is Fair else 1)]
            # They differ in what they cost only.
            outcome = sorted(runs, key=lambda run: run.microseconds)[len(runs) // 2]
            outcomes[scale].append(outcome)
            print(row(scale, outcome), flush=True)
    if arguments.charts:
        from bench.simulation.charts import draw

        draw(outcomes, arguments.charts)


if __name__ == "__main__":
    main()
