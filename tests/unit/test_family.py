# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of `ps --tree`."""

from __future__ import annotations

from qgsd.control.family import branches
from qgsd.control.records import ChildRole, ProcessRecord


def process(role: ChildRole, slot: int | None = None, generation: int = 1) -> ProcessRecord:
    return ProcessRecord(role, slot, 1, "idle", 1.0, 0, 0, 0, 0.0, None, generation)


def drawn(records: list[ProcessRecord], *, unicode: bool = False) -> list[str]:
    return [
        f"{before}{record.role}{'' if record.slot is None else record.slot}"
        for before, record in branches(records, unicode=unicode)
    ]


def test_workers_stand_below_the_template_that_forked_them() -> None:
    records = [
        process("master"), process("dispatcher"), process("http", 0), process("template"),
        process("template", generation=2), process("worker", 0), process("worker", 1, generation=2),
        process("worker", 2, generation=2), process("worker", 3, generation=7),
    ]  # fmt: skip
    assert drawn(records) == [
        "master",
        "|- dispatcher",
        "|- http0",
        "|- template",
        "|  `- worker0",
        "|- template",
        "|  |- worker1",
        "|  `- worker2",
        "`- worker3",
    ]


def test_nobody_is_left_out_and_lines_are_drawn_where_they_can_be() -> None:
    records = [process("master"), process("template"), process("worker", 0)]
    assert drawn(records, unicode=True) == ["master", "└─ template", "   └─ worker0"]
    assert drawn([process("worker", 0)]) == ["`- worker0"]
