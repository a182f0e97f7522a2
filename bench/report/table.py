# SPDX-License-Identifier: GPL-2.0-or-later
"""The table for people, in Markdown."""

from __future__ import annotations

from bench.report.record import OURS, Record, Row
from bench.servers.in_process import InProcess, InProcessBound


def for_docs(record: Record) -> str:
    """The figures that matter, beside each other; against the limit where there is one."""
    rivals = [name for name in record.servers() if name not in (OURS, InProcess.name, InProcessBound.name)]
    ratios = [*(f"qgsd / {name}" for name in rivals), "qgsd / limit"]
    head = ["work", OURS, *rivals, "in process", *ratios]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in record.rows.values():
        if not row.figure.charted or not row.values:
            continue
        limits = [name for name in (InProcessBound.name, InProcess.name) if row.median(name) is not None]
        values = [_value(record, row, name) for name in (OURS, *rivals, InProcess.name)]
        if InProcessBound.name in limits:
            values[-1] += f" (bound: {_value(record, row, InProcessBound.name)})"
        compared = [_ratio(row, name) for name in (*rivals, *limits[:1])]
        lines.append(_line([_title(row), *values, *compared, *(["–"] if not limits else [])]))
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


def _ratio(row: Row, other: str) -> str:
    """How much better; for times the inverse, so that more than 1 always means that qgsd is ahead."""
    ratio = row.ratio(OURS, other)
    return "–" if ratio is None else f"{ratio:.3g}"


def _troubles(record: Record) -> list[str]:
    told = [f"- {workload}: {server}: {why}" for (workload, server), why in record.lacking.items()]
    for (workload, server), wrong in record.wrong.items():
        told += [f"- {workload}: {server}: {why}" for why in wrong[:2]]
    return ["", *told] if told else []
