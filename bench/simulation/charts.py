# SPDX-License-Identifier: GPL-2.0-or-later
"""The charts of docs/scheduling.md, as SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.simulation.cluster import Outcome, quantile
from bench.simulation.traffic import Scale


def draw(outcomes: dict[Scale, list[Outcome]], folder: Path) -> None:
    """Write a chart a question; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    _bars(outcomes, folder / "scheduling-hits.svg", "Requests that find their project open, %",
          lambda one: 100 * one.hit_ratio)  # fmt: skip
    _bars(outcomes, folder / "scheduling-p99.svg", "99 of 100 tiles are answered within, ms",
          lambda one: 1000 * quantile(one.light, 0.99), logarithmic=True)  # fmt: skip
    ours = {scale: [one for one in them if one.decisions] for scale, them in outcomes.items()}
    _bars(ours, folder / "scheduling-cost.svg", "A decision of the scheduler, µs",
          lambda one: one.microseconds)  # fmt: skip


def _bars(
    outcomes: dict[Scale, list[Outcome]],
    path: Path,
    title: str,
    figure: Callable[[Outcome], float],
    *,
    logarithmic: bool = False,
) -> None:
    import pygal
    from pygal.style import CleanStyle

    chart = pygal.Bar(
        style=CleanStyle, js=[], width=760, height=320, title=title, legend_at_bottom=True, print_values=True,
        value_formatter=lambda value: f"{value:.0f}", disable_xml_declaration=True, logarithmic=logarithmic,
    )  # fmt: skip
    chart.x_labels = [f"{scale.workers} workers, {scale.projects} projects" for scale in outcomes]
    for place, first in enumerate(next(iter(outcomes.values()))):
        chart.add(first.rule, [figure(them[place]) for them in outcomes.values()])
    chart.render_to_file(str(path))
