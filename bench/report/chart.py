# SPDX-License-Identifier: GPL-2.0-or-later
"""The chart for the documentation: how much better qgsd is, on a scale of powers of ten."""

from __future__ import annotations

from pathlib import Path

from bench.report.record import OURS, Record


def draw(record: Record, path: Path) -> None:
    """Write an SVG file: a group of bars a figure, a bar a rival, 1 where both are alike."""
    import pygal
    from pygal.style import CleanStyle

    rivals = record.rivals()
    charted = [row for row in record.rows.values() if row.figure.charted]
    rows = [row for row in charted if any(row.ratio(OURS, name) for name in rivals)]
    style = CleanStyle(value_font_size=11, label_font_size=11)
    chart = pygal.HorizontalBar(
        style=style, logarithmic=True, js=[], width=900, height=80 + 34 * len(rows),
        title="How many times better qgsd is (1: alike)", legend_at_bottom=True, print_values=True,
        value_formatter=lambda value: f"{value:.2g}", truncate_label=60, disable_xml_declaration=True,
    )  # fmt: skip
    # Bars are stacked from below.
    chart.x_labels = [f"{row.title}: {row.figure.key.replace('_', ' ')}" for row in reversed(rows)]
    for name in rivals:
        chart.add(f"against {name}", [row.ratio(OURS, name) for row in reversed(rows)])
    chart.render_to_file(str(path))
