# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command that takes a while is waiting for, in words: the progress that qgsdctl shows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

_NAMED = 3


class Child(Protocol):
    """What is looked at of a child."""

    @property
    def name(self) -> str: ...

    @property
    def phase(self) -> str: ...

    @property
    def generation(self) -> int: ...


def scaling(workers: Sequence[Child], target: int) -> dict[str, Any]:
    """The number of workers is to be `target`."""
    ready = [worker.name for worker in workers if worker.phase == "ready"]
    leaving = [worker.name for worker in workers if worker.phase == "draining"]
    starting = [worker.name for worker in workers if worker.phase == "starting"]
    message = f"{len(ready)} of {target} workers ready"
    if leaving:
        message += f"; what runs in {_some(leaving)} is finished first"
    elif starting:
        message += f"; waiting for {_some(starting)}"
    return {"message": message, "done": min(len(ready), target), "total": target}


def restarting(children: Sequence[Child], generation: int, wanted: int) -> dict[str, Any]:
    """All children are to be of `generation`, `wanted` in all."""
    done = [child for child in children if child.generation == generation and child.phase == "ready"]
    left = [child.name for child in children if child not in done]
    message = f"{min(len(done), wanted)} of {wanted} processes replaced"
    if left:
        message += f"; waiting for {_some(dict.fromkeys(left))}"
    return {"message": message, "done": min(len(done), wanted), "total": wanted}


def projects(waiting: Collection[str] | None, done: int) -> dict[str, Any]:
    """An order about projects; `waiting` is None until it is known which they are."""
    if waiting is None:
        return {"message": "asking which projects that are"}
    total = len(waiting) + done
    message = f"{done} of {total} projects done"
    if waiting:
        message += f"; waiting for {_some(sorted(waiting))}"
    return {"message": message, "done": done, "total": total}


def _some(names: Iterable[str]) -> str:
    """Names, a few of them where there are many.

    >>> _some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    every = list(names)
    more = len(every) - _NAMED
    return ", ".join(every) if more <= 0 else f"{', '.join(every[:_NAMED])} and {more} more"
