# SPDX-License-Identifier: GPL-2.0-or-later
"""The table for people, in Markdown."""

from __future__ import annotations

from bench.report.record import OURS, VARIANT, Record, Row
from bench.servers.in_process import InProcess, InProcessBound


def for_docs(record: Record) -> str:
    """The figures that matter, beside each other; against the limit where there is one."""
    rivals, ours = record.rivals(), [name for name in (OURS, VARIANT) if name in record.servers()]
    ratios = [*(f"{name} / {rival}" for rival in rivals for name in ours), "qgsd / limit"]
    head = ["work", *ours, *rivals, "in process", *ratios]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in record.rows.values():
        if not row.figure.charted or not row.values:
            continue
        values = [_value(record, row, name) for name in (*ours, *rivals, InProcess.name)]
        limit = InProcess.name
        if row.median(InProcessBound.name) is not None:
            limit = InProcessBound.name
            values[-1] += f" (bound: {_value(record, row, limit)})"
        compared = [_ratio(row, rival, name) for rival in rivals for name in ours]
        lines.append(_line([_title(row), *values, *compared, _ratio(row, limit)]))
    return "\n".join([*lines, *_troubles(record)])


def markdown(record: Record) -> str:
    """All of it."""
    servers = record.servers()
    others = [name for name in servers if name != OURS]
    head = ["work", *servers, *(f"qgsd / {name}" for name in others)]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in record.rows.values():
        if not row.values:
            continue
        values = [_value(record, row, name) for name in servers]
        lines.append(_line([_title(row), *values, *(_ratio(row, name) for name in others)]))
    return "\n".join([*lines, *_troubles(record)])


def _title(row: Row) -> str:
    return f"{row.title}: {row.figure.key.replace('_', ' ')}, {row.figure.unit}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _value(record: Record, row: Row, server: str) -> str:
    value = row.median(server)
    if value is None:
        return "–"
    failed, answers = record.failed[row.workload, server]
    return f"{value:.4g}" + (f" ({failed} of {answers} wrong)" if failed else "")


def _ratio(row: Row, other: str, ours: str = OURS) -> str:
    """How much better; for times the inverse, so that more than 1 always means that qgsd is ahead."""
    ratio = row.ratio(ours, other)
    return "–" if ratio is None else f"{ratio:.3g}"


def _troubles(record: Record) -> list[str]:
    told = [f"- {workload}: {server}: {why}" for (workload, server), why in record.lacking.items()]
    for (workload, server), wrong in record.wrong.items():
        told += [f"- {workload}: {server}: {why}" for why in wrong[:2]]
    return ["", *told] if told else []
