# SPDX-License-Identifier: GPL-2.0-or-later
"""Who made whom: the rows of `ps` as a tree. The template is the only child that has children of its own."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from qgsd.control import tables
from qgsd.control.records import ProcessRecord


def tree(records: list[ProcessRecord], *, unicode: bool = True) -> RenderableType:
    """A table as of `ps` whose first column shows the tree."""
    return tables.tree(list(branches(records, unicode=unicode)))


def branches(records: list[ProcessRecord], *, unicode: bool = True) -> Iterator[tuple[str, ProcessRecord]]:
    """Each process with what is drawn before its name, parents before their children.

    During a restart there are two templates; a worker is of the one of its generation. One whose template
    has gone stands below the master, who has adopted all of them anyway.
    """
    ours, others = _of_the_template(records)
    masters = [record for record in records if record.role == "master"]
    yield from (("", master) for master in masters)
    for last, record in _marked(others):
        yield _branch(last, unicode), record
        for last_fork, fork in _marked(ours.get(id(record), [])):
            yield _trunk(last, unicode) + _branch(last_fork, unicode), fork


def _of_the_template(
    records: list[ProcessRecord],
) -> tuple[dict[int, list[ProcessRecord]], list[ProcessRecord]]:
    """The forks of each template, by its identity; and all others but the master."""
    templates = {(t.machine, t.generation): t for t in records if t.role == "template"}
    forks: dict[int, list[ProcessRecord]] = {}
    others = []
    for record in records:
        template = templates.get((record.machine, record.generation)) if record.role == "worker" else None
        if template is not None:
            forks.setdefault(id(template), []).append(record)
        elif record.role != "master":
            others.append(record)
    return forks, others


def _marked(records: list[ProcessRecord]) -> Iterator[tuple[bool, ProcessRecord]]:
    """Each with whether it is the last."""
    yield from ((number == len(records), record) for number, record in enumerate(records, 1))


def _branch(last: bool, unicode: bool) -> str:
    if unicode:
        return "└─ " if last else "├─ "
    return "`- " if last else "|- "


def _trunk(last: bool, unicode: bool) -> str:
    return "   " if last else "│  " if unicode else "|  "
